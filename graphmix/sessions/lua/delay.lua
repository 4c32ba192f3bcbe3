ardour {
  ["type"] = "dsp", name = "graphmix latency", category = "Utility", license = "Apache-2.0", author = "graphmix",
  description = [[A delay that the session states as this plugin's latency: it makes ways of different latency equal.]]
}

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

function dsp_params ()
  return { { ["type"] = "input", name = "Samples", min = 0, max = 1048576, default = 0, integer = true } }
end

local size, place, rings

function dsp_init (rate)
  size = nil
end

function dsp_run (ins, outs, n)
  local samples = math.floor (CtrlPorts:array ()[1] + 0.5)
  if samples ~= size then
    size, place, rings = samples, 0, { {}, {} }
    for channel = 1, 2 do
      for i = 0, size do rings[channel][i] = 0.0 end
    end
  end
  local start = place
  for channel = 1, 2 do
    local u, y, ring = ins[channel]:array (), outs[channel]:array (), rings[channel]
    place = start
    for i = 1, n do
      ring[place] = u[i]
      place = place + 1
      if place > size then place = 0 end
      y[i] = ring[place]
    end
  end
end
