-- The token request of one client, for wrk.
wrk.method = "POST"
wrk.body = "grant_type=client_credentials&client_id=agent&client_secret=secret-of-the-agent&scope=customers:read"
wrk.headers["Content-Type"] = "application/x-www-form-urlencoded"
