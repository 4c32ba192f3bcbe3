ardour {
  ["type"] = "dsp", name = "graphmix matrix", category = "Utility", license = "Apache-2.0", author = "graphmix",
  description = [[Left and right as sums of left and right, by factors: pan, balance, rotation, polarity, mid and side.]]
}

function dsp_ioconfig () return { { audio_in = 2, audio_out = 2 } } end

function dsp_params ()
  return {
    { ["type"] = "input", name = "Left to left", min = -4, max = 4, default = 1 },
    { ["type"] = "input", name = "Right to left", min = -4, max = 4, default = 0 },
    { ["type"] = "input", name = "Left to right", min = -4, max = 4, default = 0 },
    { ["type"] = "input", name = "Right to right", min = -4, max = 4, default = 1 },
  }
end

function dsp_run (ins, outs, n)
  local control = CtrlPorts:array ()
  local ll, rl, lr, rr = control[1], control[2], control[3], control[4]
  local ul, ur = ins[1]:array (), ins[2]:array ()
  local yl, yr = outs[1]:array (), outs[2]:array ()
  for i = 1, n do
    local l, r = ul[i], ur[i]
    yl[i] = ll * l + rl * r
    yr[i] = lr * l + rr * r
  end
end
