ardour {
  ["type"] = "dsp", name = "graphmix imager", category = "Utility", license = "Apache-2.0", author = "graphmix",
  description = [[Gain on the side channel in dB: the processor "imager" of graphmix.]]
}

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

function dsp_params ()
  return { { ["type"] = "input", name = "Side", min = -200, max = 60, default = 0, unit = "dB" } }
end

function dsp_run (ins, outs, n)
  local side = 10 ^ (CtrlPorts:array ()[1] / 20)
  local same, other = (1 + side) / 2, (1 - side) / 2
  local ul, ur = ins[1]:array (), ins[2]:array ()
  local yl, yr = outs[1]:array (), outs[2]:array ()
  for i = 1, n do
    local l, r = ul[i], ur[i]
    yl[i] = same * l + other * r
    yr[i] = other * l + same * r
  end
end
