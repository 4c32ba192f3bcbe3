ardour {
  ["type"] = "dsp", name = "graphmix send", category = "Utility", license = "Apache-2.0", author = "graphmix",
  description = [[Adds a share of inputs 3 and 4 to inputs 1 and 2: the processor "send" of graphmix.]]
}

function dsp_ioconfig () return { { audio_in = 4, audio_out = 2 } } end

function dsp_params ()
  return {
    { ["type"] = "input", name = "Left", min = -200, max = 60, default = -120, unit = "dB" },
    { ["type"] = "input", name = "Right", min = -200, max = 60, default = -120, unit = "dB" },
  }
end

function dsp_run (ins, outs, n)
  local control = CtrlPorts:array ()
  for channel = 1, 2 do
    local factor = 10 ^ (control[channel] / 20)
    local u, s, y = ins[channel]:array (), ins[channel + 2]:array (), outs[channel]:array ()
    for i = 1, n do y[i] = u[i] + factor * s[i] end
  end
end
