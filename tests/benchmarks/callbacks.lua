-- wrk's script: posts each line of a file once, in order, and tells how fast they were answered.
-- Arguments: the file, the secret. Answers that are errors are counted by wrk itself.
local ffi = require("ffi")
ffi.cdef [[
typedef struct { long s; long ns; } moment;
int clock_gettime(int clock, moment *now);
]]
local moment = ffi.new("moment")
local threads = {}
local posts = {}

local function seconds()
  ffi.C.clock_gettime(1, moment) -- CLOCK_MONOTONIC
  return tonumber(moment.s) + tonumber(moment.ns) / 1e9
end

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  local headers = { ["Content-Type"] = "application/json", ["Authorization"] = "Bearer " .. args[2] }
  for body in io.lines(args[1]) do
    posts[#posts + 1] = wrk.format("POST", nil, headers, body)
  end
  sent, first, last = 0, 0, 0
end

function request()
  last = seconds()
  if sent == 0 then first = last end
  sent = sent + 1
  if sent > #posts then
    sent = #posts
    wrk.thread:stop()
  end
  return posts[sent]
end

function done(summary, latency, _)
  local thread = threads[1]
  local errors = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '{"answered": %d, "sent": %d, "wall_s": %f, "refused": %d, "errors": %d, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, thread:get("sent"), thread:get("last") - thread:get("first"), summary.errors.status, errors,
    latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
