ardour {
  ["type"] = "dsp", name = "graphmix @kind@", category = "Dynamics", license = "Apache-2.0", author = "graphmix",
  description = [[The processor "@kind@" of graphmix: level of mid, energy smoothed, static curve with a knee.]]
}

local DIRECTION = @direction@ -- 1: the gain falls above the threshold; -1: below it
local DETECTOR = @detector@ -- the input that is the left channel of the detector
local FLOOR = 1e-8

function dsp_ioconfig () return { { audio_in = @inputs@, audio_out = 2 } } end

function dsp_params ()
  return {
    { ["type"] = "input", name = "Threshold", min = -80, max = 0, default = -20, unit = "dB" },
    { ["type"] = "input", name = "Ratio", min = 1, max = 100, default = 1 },
    { ["type"] = "input", name = "Knee", min = 0.1, max = 48, default = 6, unit = "dB" },
    { ["type"] = "input", name = "Attack", min = 0.05, max = 2000, default = 20, unit = "ms" },
    { ["type"] = "input", name = "Release", min = 0.05, max = 5000, default = 20, unit = "ms" },
    { ["type"] = "input", name = "Wet", min = 0, max = 1, default = 1 },
  }
end

local rate, energy = 48000, 0.0

function dsp_init (sample_rate)
  rate, energy = sample_rate, 0.0
end

function dsp_run (ins, outs, n)
  local control = CtrlPorts:array ()
  local threshold, ratio, half, wet = control[1], control[2], control[3] / 2, control[6]
  local attack, release = math.exp (-1000 / (control[4] * rate)), math.exp (-1000 / (control[5] * rate))
  local slope = (DIRECTION > 0) and (1 / ratio - 1) or (1 - ratio)
  local neper = math.log (10) / 20
  local dl, dr = ins[DETECTOR]:array (), ins[DETECTOR + 1]:array ()
  local ul, ur = ins[1]:array (), ins[2]:array ()
  local yl, yr = outs[1]:array (), outs[2]:array ()
  for i = 1, n do
    local mid = 0.5 * (dl[i] + dr[i])
    local x = mid * mid
    local a = (x > energy) and attack or release
    energy = x + a * (energy - x)
    local over = DIRECTION * (math.log (energy + FLOOR) / (2 * neper) - threshold)
    local bent
    if over > half then
      bent = over
    elseif over > -half then
      bent = (over + half) ^ 2 / (4 * half)
    else
      bent = 0
    end
    local gain = wet * math.exp (slope * bent * neper) + 1 - wet
    yl[i] = gain * ul[i]
    yr[i] = gain * ur[i]
  end
end
