"""Sends metrics, logs and spans of one small service by the OpenTelemetry SDK for Python over OTLP/HTTP."""
import logging, sys
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.metrics import MeterProvider, Histogram
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View, ExponentialBucketHistogramAggregation
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode

base = sys.argv[1]
resource = Resource.create({'service.name': 'cart', 'service.version': '1.4', 'host.name': 'web-1'})
reader = PeriodicExportingMetricReader(OTLPMetricExporter(f'{base}/v1/metrics'), export_interval_millis=3_600_000)
view = View(instrument_name='job.size', aggregation=ExponentialBucketHistogramAggregation())
meters = MeterProvider([reader], resource, views=[view])
meter = meters.get_meter('shop')
meter.create_counter('http.server.requests', '{request}').add(7, {'http.route': '/cart/{id}', 'http.response.status_code': 200})
meter.create_gauge('system.cpu.utilization', '1').set(0.25, {'cpu.mode': 'user'})
duration = meter.create_histogram('http.server.request.duration', 's')
size = meter.create_histogram('job.size', 'By')
for n in range(1, 21):
    duration.record(n / 100, {'http.request.method': 'GET'})
    size.record(n * n)
meters.shutdown()

traces = TracerProvider(resource=resource)
traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(f'{base}/v1/traces', compression=Compression.Gzip)))
tracer = traces.get_tracer('shop')
with tracer.start_as_current_span('GET /cart/{id}', kind=SpanKind.SERVER, attributes={
        'http.request.method': 'GET', 'http.route': '/cart/{id}', 'http.response.status_code': 500, 'tags': ['a', 'b']}) as server:
    with tracer.start_as_current_span('SELECT', kind=SpanKind.CLIENT, attributes={
            'db.system.name': 'postgresql', 'server.address': 'db-1', 'server.port': 5432}) as query:
        query.record_exception(ValueError('no row'))
        query.set_status(Status(StatusCode.ERROR, 'no row'))
        logs = LoggerProvider(resource)
        logs.add_log_record_processor(BatchLogRecordProcessor(OTLPLogExporter(f'{base}/v1/logs', compression=Compression.Gzip)))
        log = logging.getLogger('shop')
        log.addHandler(LoggingHandler(logger_provider=logs))
        log.error('cart %s is gone', 42, extra={'cart.items': 3})
        log.warning('slow query')
        logs.shutdown()
traces.shutdown()
