ardour {
  ["type"] = "dsp", name = "graphmix convolver", category = "Reverb", license = "Apache-2.0", author = "graphmix",
  description = [[An impulse response of four channels: left to left, left to right, right to left, right to right. It is
the file @file@ in the session's folder. What it rings before the input and the 64 samples of Ardour's convolver are stated
in the session as the latency of this plugin.]]
}

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

local convolver
local file -- of the impulse response
local used = false -- whether anything has passed the convolver

local function load_response ()
  convolver = ARDOUR.DSP.Convolver (Session, file, ARDOUR.DSP.IRChannelConfig.Stereo, ARDOUR.DSP.IRSettings ())
  used = false
  collectgarbage ()
end

function dsp_configure (ins, outs)
  file = Session:path () .. "/@file@"
  load_response ()
end

-- While the transport stands still nothing passes, so that what comes in then is not part of what plays afterwards.
function dsp_run (ins, outs, n)
  if not Session:transport_state_rolling () then
    for channel = 1, 2 do ARDOUR.DSP.memset (outs[channel], 0, n) end
    if used then load_response () end
    return
  end
  for channel = 1, 2 do
    if ins[channel] ~= outs[channel] then ARDOUR.DSP.copy_vector (outs[channel], ins[channel], n) end
  end
  convolver:run_stereo_buffered (outs[1], outs[2], n)
  used = true
end
