"""Answers every POST and keeps it as it came: request line, headers, body."""
import http.server, os, sys
out = sys.argv[2]
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    n = {}
    def do_OPTIONS(self):
        self.send_response(200)
        self.send_header('access-control-allow-origin', self.headers.get('origin', '*'))
        self.send_header('access-control-allow-headers', self.headers.get('access-control-request-headers', '*'))
        self.send_header('content-length', '0'); self.end_headers()
    def do_GET(self):
        path = self.path.split('?')[0].lstrip('/')
        try: body = open(os.path.join(sys.argv[3], path), 'rb').read()
        except Exception: body = None
        self.send_response(200 if body is not None else 404)
        self.send_header('content-type', 'text/html' if path.endswith('html') else 'text/javascript')
        if path == 'report.html':
            self.send_header('reporting-endpoints', 'main="http://127.0.0.1:%s/v1/reports"' % sys.argv[1])
            self.send_header('content-security-policy', "img-src 'none'; report-to main")
        if path == 'csp.html':
            self.send_header('content-security-policy', "img-src 'none'; report-uri /v1/reports")
        self.send_header('content-length', str(len(body or b''))); self.end_headers(); self.wfile.write(body or b'')
    def do_POST(self):
        if self.headers.get('transfer-encoding') == 'chunked':
            body = b''
            while True:
                size = int(self.rfile.readline().split(b';')[0], 16)
                body += self.rfile.read(size); self.rfile.readline()
                if size == 0: break
        else:
            body = self.rfile.read(int(self.headers['content-length']))
        name = self.path.split('?')[0].strip('/').replace('/', '-')
        k = H.n[name] = H.n.get(name, 0) + 1
        head = f'{self.command} {self.path} HTTP/1.1\r\n' + ''.join(f'{a}: {b}\r\n' for a, b in self.headers.items() if a.lower() != 'transfer-encoding')
        if 'content-length' not in {a.lower() for a in self.headers}: head += f'content-length: {len(body)}\r\n'
        open(f'{out}/{name}-{k}.http', 'wb').write(head.encode() + b'\r\n' + body)
        print(name, k, len(body), dict(self.headers), flush=True)
        self.send_response(200 if name != 'collect' else 202)
        self.send_header('content-length', '0')
        self.send_header('access-control-allow-origin', self.headers.get('origin', '*')); self.end_headers()
    def log_message(self, *a): pass
http.server.ThreadingHTTPServer(('127.0.0.1', int(sys.argv[1])), H).serve_forever()
