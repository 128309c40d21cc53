-- Asks `authsec verify-server` about a request, for haproxy 3.0 and newer. authsec.cfg shows the lines that go with it.
--
-- What is needed stands in the variable txn.authsec, such as require=customers:read. The request then has the headers
-- authsec-agent and so on, or is refused. Should this script fail, haproxy would go on: so the lines in authsec.cfg let
-- nothing through that has no authsec-agent.

local VERIFY = os.getenv("AUTHSEC_VERIFY_URL") or "http://127.0.0.1:8094/verify"
local MILLISECONDS = 15000
local IDENTITY = {
    "authsec-agent", "authsec-client-id", "authsec-permissions", "authsec-delegations",
    "authsec-roles", "authsec-attestation", "authsec-token-id", "authsec-expires",
}
local UNREACHABLE = '{"error": "Tokens cannot be verified right now.", "reason": "verify_server_unreachable", '
    .. '"details": "authsec verify-server must be reachable from the proxy.", "retryable": true}'

-- The values of a header, of which there may be several.
local function all(headers, name)
    local values = {}
    for _, value in pairs((headers or {})[name] or {}) do
        values[#values + 1] = value
    end
    return values
end

local function refuse(txn, status, body, answer)
    local reply = txn:reply()
    reply:set_status(status)
    reply:add_header("content-type", "application/json")
    reply:add_header("cache-control", "no-store")
    for _, name in ipairs({ "www-authenticate", "retry-after" }) do
        for _, value in ipairs(all(answer.headers, name)) do
            reply:add_header(name, value)
        end
    end
    reply:set_body(body)
    txn:done(reply)
end

local function ask(txn)
    local sent = txn.http:req_get_headers()
    local answer = core.httpclient():get({
        url = VERIFY .. "?dpop=original&" .. txn:get_var("txn.authsec"),
        -- A proof of a token that is bound to a key is for one method and one URL.
        headers = {
            authorization = all(sent, "authorization"), dpop = all(sent, "dpop"),
            ["x-original-method"] = { txn.sf:method() }, ["x-original-uri"] = { txn.sf:path() },
        },
        timeout = MILLISECONDS,
    })
    if answer.status ~= 204 then
        -- A 503 without our body is haproxy's own: nobody listens there.
        local told = all(answer.headers, "content-type")[1] == "application/json"
        refuse(txn, told and answer.status or 503, told and answer.body or UNREACHABLE, answer)
        return
    end
    for _, name in ipairs(IDENTITY) do
        txn.http:req_del_header(name)
        for _, value in ipairs(all(answer.headers, name)) do
            txn.http:req_add_header(name, value)
        end
    end
    -- The API needs no token any more, and what it does not get it cannot leak. Delete this line if it calls others with it.
    txn.http:req_del_header("authorization")
    txn.http:req_del_header("dpop")
end

core.register_action("authsec", { "http-req" }, ask, 0)
