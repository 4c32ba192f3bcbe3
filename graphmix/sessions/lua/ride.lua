ardour {
  ["type"] = "dsp", name = "graphmix ride", category = "Amplifier", license = "Apache-2.0", author = "graphmix",
  description = [[The processor "ride" of graphmix: a gain that follows its automation, straight in dB.]]
}

-- Ardour cuts its blocks at the points of an automation and gives the value at a block's first sample. From there to
-- the next block the line is straight, and known when that block comes: what leaves is late by LATENCY samples, which
-- the plugin behind this one states. In longer blocks the last samples have the gain of the first. Where this one is
-- bypassed, that one has to be, too.
local LATENCY = @latency@
local SIZE = LATENCY + 8192 -- of the rings: what waits, and Ardour's longest block

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

function dsp_params ()
  return {
    { ["type"] = "input", name = "Gain", min = -200, max = 60, default = 0, unit = "dB" },
    { ["type"] = "input", name = "Wet", min = 0, max = 1, default = 1 },
  }
end

local left, right = {}, {}
local write, length, first = 0, 0, 0.0 -- next place of the rings; samples and gain of the block before

function dsp_init (rate)
  for i = 1, SIZE do left[i], right[i] = 0.0, 0.0 end
  write, length = 0, 0
end

local function factor (gain, wet)
  return wet * math.exp (math.log (10) / 20 * gain) + 1 - wet
end

-- The block before, whose line ends at the first sample of the block that comes.
local function apply (last, wet)
  local step = (last - first) / length
  for i = 0, length - 1 do
    local place, by = (write - length + i) % SIZE + 1, factor (first + i * step, wet)
    left[place], right[place] = by * left[place], by * right[place]
  end
end

function dsp_run (ins, outs, n)
  local control = CtrlPorts:array ()
  local gain, wet = control[1], control[2]
  if length > 0 then apply (gain, wet) end
  local ul, ur, yl, yr = ins[1]:array (), ins[2]:array (), outs[1]:array (), outs[2]:array ()
  for i = 1, n do
    local place, late = write % SIZE + 1, (write - LATENCY) % SIZE + 1
    left[place], right[place] = ul[i], ur[i]
    local by = i > LATENCY and factor (gain, wet) or 1
    yl[i], yr[i] = by * left[late], by * right[late]
    write = write + 1
  end
  first, length = gain, n
end
