ardour {
  ["type"] = "dsp", name = "graphmix ride", category = "Amplifier", license = "Apache-2.0", author = "graphmix",
  description = [[Multiplies inputs 1 and 2 by inputs 3 and 4, which are the gain of the processor "ride" of graphmix.]]
}

function dsp_ioconfig () return { { audio_in = 4, audio_out = 2 } } end

function dsp_run (ins, outs, n)
  for channel = 1, 2 do
    local u, g, y = ins[channel]:array (), ins[channel + 2]:array (), outs[channel]:array ()
    for i = 1, n do y[i] = u[i] * g[i] end
  end
end
