ardour {
  ["type"] = "dsp", name = "graphmix limiter", category = "Dynamics", license = "Apache-2.0", author = "graphmix",
  description = [[The processor "limiter" of graphmix. Its latency is the look-ahead, rounded up to samples, which the
session states as the latency of this plugin: change the look-ahead and the latency together.]]
}

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

function dsp_params ()
  return {
    { ["type"] = "input", name = "Ceiling", min = -60, max = 24, default = 24, unit = "dB" },
    { ["type"] = "input", name = "Look-ahead", min = 0.05, max = 20, default = 5, unit = "ms" },
    { ["type"] = "input", name = "Release", min = 1, max = 2000, default = 60, unit = "ms" },
    { ["type"] = "input", name = "Wet", min = 0, max = 1, default = 1 },
  }
end

local rate = 48000
local reach, size -- look-ahead in whole samples; length of the rings
local time -- number of the sample that comes in
local left, right -- rings of the signal, since sample time - reach goes out
local queue_time, queue_over, head, tail -- falling peaks of the window, the largest one first
local reduction, last, sum -- ring of s, the newest s, and the sum of the newest ones but the oldest

local function reset (samples)
  reach, size = samples, samples + 2
  time, head, tail, last, sum = 0, 1, 0, 0.0, 0.0
  left, right, reduction, queue_time, queue_over = {}, {}, {}, {}, {}
  for i = 0, size - 1 do left[i], right[i], reduction[i] = 0.0, 0.0, 0.0 end
end

function dsp_init (sample_rate)
  rate = sample_rate
  reach = nil
end

function dsp_run (ins, outs, n)
  local control = CtrlPorts:array ()
  local ahead = control[2] * rate / 1000
  local samples = math.ceil (ahead)
  if samples ~= reach then reset (samples) end
  local log_ceiling = control[1] * math.log (10) / 20
  local ceiling, release, wet = math.exp (log_ceiling), math.exp (-1000 / (control[3] * rate)), control[4]
  local oldest = 1 + ahead - reach
  local ul, ur = ins[1]:array (), ins[2]:array ()
  local yl, yr = outs[1]:array (), outs[2]:array ()
  for i = 1, n do
    local l, r = ul[i], ur[i]
    local peak = math.max (math.abs (l), math.abs (r))
    local over = 0.0
    if peak > ceiling then over = math.log (peak) - log_ceiling end
    while tail >= head and queue_over[tail] <= over do
      queue_time[tail], queue_over[tail] = nil, nil
      tail = tail - 1
    end
    tail = tail + 1
    queue_time[tail], queue_over[tail] = time, over
    while queue_time[head] < time - reach do
      queue_time[head], queue_over[head] = nil, nil
      head = head + 1
    end
    last = math.max (queue_over[head], release * last)
    local here, old = time % size, (time - reach) % size
    reduction[here], left[here], right[here] = last, l, r
    sum = sum + last
    local mean = (sum + (oldest - 1) * reduction[old]) / (1 + ahead)
    sum = sum - reduction[old]
    if sum < 1e-12 then sum = 0.0 end
    local gain = wet * math.exp (-mean) + 1 - wet
    yl[i] = gain * left[old]
    yr[i] = gain * right[old]
    time = time + 1
  end
end
