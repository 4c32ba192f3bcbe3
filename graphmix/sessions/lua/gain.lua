ardour {
  ["type"] = "dsp", name = "graphmix gain", category = "Utility", license = "Apache-2.0", author = "graphmix",
  description = [[Left and right gain in dB: the processor "gain" of graphmix.]]
}

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

function dsp_params ()
  return {
    { ["type"] = "input", name = "Left", min = -200, max = 60, default = 0, unit = "dB" },
    { ["type"] = "input", name = "Right", min = -200, max = 60, default = 0, unit = "dB" },
  }
end

function dsp_run (ins, outs, n)
  local control = CtrlPorts:array ()
  for channel = 1, 2 do
    local factor = 10 ^ (control[channel] / 20)
    local u, y = ins[channel]:array (), outs[channel]:array ()
    for i = 1, n do y[i] = factor * u[i] end
  end
end
