import http.server, threading, os
TEXT = b'''# TYPE node_load1 gauge
node_load1 0.5
# TYPE node_cpu_seconds_total counter
node_cpu_seconds_total{cpu="0",mode="user"} 120.5
node_temperature NaN
# TYPE request_seconds histogram
request_seconds_bucket{le="0.1"} 3
request_seconds_bucket{le="+Inf"} 4
request_seconds_sum 0.7
request_seconds_count 4
'''
class H(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header('content-type', 'text/plain; version=0.0.4'); self.end_headers(); self.wfile.write(TEXT)
    def log_message(self, *a): pass
s = http.server.HTTPServer(('127.0.0.1', 9777), H)
threading.Timer(8, lambda: os._exit(0)).start()
s.serve_forever()
