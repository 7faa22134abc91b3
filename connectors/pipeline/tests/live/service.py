"""A small service and the dependency it asks, by the OpenTelemetry SDK for Python: GET /cart answers at once, GET /pay
asks the dependency first, GET /dependency?ms=N makes that one slow. Prints its port.

    python service.py http://127.0.0.1:8090
"""
import sys, threading, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

traces = TracerProvider(resource=Resource.create({'service.name': 'shop', 'host.name': 'test-1'}))
exporter = OTLPSpanExporter(f'{sys.argv[1]}/v1/traces')
traces.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=200))
tracer = traces.get_tracer('shop')
delay_ms = 0


class Handler(BaseHTTPRequestHandler):
    def answer(self):
        self.send_response(200)
        self.send_header('Content-Length', '0')
        self.end_headers()

    def log_message(self, *_):
        pass


class Dependency(Handler):
    def do_GET(self):
        time.sleep(delay_ms / 1000)
        self.answer()


class Shop(Handler):
    def do_GET(self):
        global delay_ms
        route, _, query = self.path.partition('?')
        if route == '/dependency':
            delay_ms = int(query.removeprefix('ms='))
            return self.answer()
        labels = {'http.request.method': 'GET', 'http.route': route, 'http.response.status_code': 200}
        with tracer.start_as_current_span(f'GET {route}', kind=SpanKind.SERVER, attributes=labels):
            if route == '/pay':
                with tracer.start_as_current_span('GET /charge', kind=SpanKind.CLIENT):
                    urllib.request.urlopen(f'http://127.0.0.1:{dependency.server_port}/charge').read()
            self.answer()


dependency = ThreadingHTTPServer(('127.0.0.1', 0), Dependency)
threading.Thread(target=dependency.serve_forever, daemon=True).start()
shop = ThreadingHTTPServer(('127.0.0.1', 0), Shop)
print(shop.server_port, flush=True)
shop.serve_forever()
