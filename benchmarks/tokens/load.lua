-- Requests for wrk from a file: wrk … -s load.lua URL -- FILE ORDER
--
-- Each line of FILE has method, path, Authorization and body, separated by tabs. ORDER is "next" or "random".
-- Prints one line of JSON with what was measured. Times are microseconds.
local requests, at, order = {}, 0, "next"

function init(arguments)
  order = arguments[2]
  math.randomseed(7)
  for line in io.lines(arguments[1]) do
    local method, path, authorization, body = line:match("^([^\t]*)\t([^\t]*)\t([^\t]*)\t(.*)$")
    local headers = {}
    if authorization ~= "" then headers["Authorization"] = authorization end
    if body ~= "" then headers["Content-Type"] = "application/x-www-form-urlencoded" end
    requests[#requests + 1] = wrk.format(method, path, headers, body ~= "" and body or nil)
  end
end

function request()
  if order == "random" then return requests[math.random(#requests)] end
  at = at % #requests + 1
  return requests[at]
end

function done(summary, latency)
  local failed = summary.errors.status + summary.errors.connect + summary.errors.read + summary.errors.write
    + summary.errors.timeout
  io.write(string.format(
    '{"requests": %d, "failed": %d, "microseconds": %d, "p50": %d, "p90": %d, "p99": %d, "longest": %d}\n',
    summary.requests, failed, summary.duration,
    latency:percentile(50), latency:percentile(90), latency:percentile(99), latency.max))
end
