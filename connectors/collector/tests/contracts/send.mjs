// Sends metrics and a span by the OpenTelemetry SDK for JavaScript over OTLP/HTTP with JSON.
import { MeterProvider, PeriodicExportingMetricReader } from "@opentelemetry/sdk-metrics";
import { NodeTracerProvider, SimpleSpanProcessor } from "@opentelemetry/sdk-trace-node";
import { OTLPMetricExporter } from "@opentelemetry/exporter-metrics-otlp-http";
import { OTLPTraceExporter } from "@opentelemetry/exporter-trace-otlp-http";
import { resourceFromAttributes } from "@opentelemetry/resources";
const base = process.argv[2];
const resource = resourceFromAttributes({ "service.name": "front", "host.name": "web-2" });
const exporter = new OTLPMetricExporter({ url: `${base}/v1/metrics`, temporalityPreference: 0 });
const meters = new MeterProvider({ resource, readers: [new PeriodicExportingMetricReader({ exporter, exportIntervalMillis: 3600000 })] });
const meter = meters.getMeter("shop");
meter.createCounter("orders", { unit: "{order}" }).add(2, { plan: "pro" });
const h = meter.createHistogram("render", { unit: "ms" });
for (let n = 1; n <= 10; n += 1) h.record(n * 10);
await meters.shutdown();
const traces = new NodeTracerProvider({ resource, spanProcessors: [new SimpleSpanProcessor(new OTLPTraceExporter({ url: `${base}/v1/traces` }))] });
const span = traces.getTracer("shop").startSpan("render", { attributes: { items: 3, ratio: 0.5, ok: true, tags: ["a", "b"] } });
span.end();
await traces.shutdown();
