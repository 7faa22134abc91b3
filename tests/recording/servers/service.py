"""A small service by the OpenTelemetry SDK for Python: a span and a histogram point per request, and what its library
says of the host. Two minutes healthy, two in which /pay is slow and fails, the rest healthy. Durations are drawn,
not waited for; each span ends when it is made.

    python service.py http://127.0.0.1:18090
"""
import random, sys, time
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.instrumentation.system_metrics import SystemMetricsInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

base = sys.argv[1]
random.seed(3)
resource = Resource.create({'service.name': 'cart', 'service.version': '1.4', 'host.name': 'build-1'})
traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f'{base}/v1/traces', compression=Compression.Gzip)))
tracer = traces.get_tracer('shop')
reader = PeriodicExportingMetricReader(OTLPMetricExporter(f'{base}/v1/metrics'), export_interval_millis=15000)
meters = MeterProvider([reader], resource)
duration = meters.get_meter('shop').create_histogram('http.server.request.duration', 's')
SystemMetricsInstrumentor().instrument(meter_provider=meters)
begin = time.time()
while (at := time.time() - begin) < 600:
    time.sleep(random.expovariate(4))
    route = random.choice(['/cart', '/cart/{id}', '/pay'])
    fault = 120 <= at < 240 and route == '/pay'
    seconds = random.lognormvariate(-2.5, 0.4) + (1.6 if fault else 0)
    failed = fault and random.random() < 0.4
    status = 503 if failed else 200
    end = time.time_ns()
    labels = {'http.request.method': 'POST', 'http.route': route, 'http.response.status_code': status}
    span = tracer.start_span(f'POST {route}', kind=SpanKind.SERVER, start_time=int(end - seconds * 1e9), attributes=labels)
    if failed:
        span.set_status(Status(StatusCode.ERROR))
    span.end(end_time=end)
    duration.record(seconds, labels)
traces.shutdown()
meters.shutdown()
