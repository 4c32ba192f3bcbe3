ardour {
  ["type"] = "dsp", name = "graphmix convolver", category = "Reverb", license = "Apache-2.0", author = "graphmix",
  description = [[An impulse response of four channels: left to left, left to right, right to left, right to right. It is
the file @file@ in the session's folder. What it rings before the input and the 64 samples of Ardour's convolver are stated
in the session as the latency of this plugin.]]
}

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

local convolver

function dsp_configure (ins, outs)
  local file = Session:path () .. "/@file@"
  convolver = ARDOUR.DSP.Convolver (Session, file, ARDOUR.DSP.IRChannelConfig.Stereo, ARDOUR.DSP.IRSettings ())
  collectgarbage ()
end

function dsp_run (ins, outs, n)
  for channel = 1, 2 do
    if ins[channel] ~= outs[channel] then ARDOUR.DSP.copy_vector (outs[channel], ins[channel], n) end
  end
  convolver:run_stereo_buffered (outs[1], outs[2], n)
end
