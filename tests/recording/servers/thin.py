"""Makes the committed files of what `perfstream cat` gave: fewer metrics and one scrape a minute, spans of /pay only.
Records stay as the collector wrote them, but for `received`, and for ids of spans (their `id` has both) and the instance.

    perfstream cat metrics-stream --data log | python thin.py metrics > metrics.jsonl
    perfstream cat spans-stream --data log | python thin.py spans > spans.jsonl
"""
import json, sys

KEEP = {
    'node_load1', 'node_memory_MemTotal_bytes', 'node_memory_MemAvailable_bytes', 'node_boot_time_seconds', 'up',
    'node_filesystem_avail_bytes', 'node_filesystem_size_bytes', 'node_filesystem_files', 'node_filesystem_files_free',
    'node_disk_io_time_seconds_total', 'node_disk_written_bytes_total',
    'node_network_receive_bytes_total', 'node_network_transmit_bytes_total',
}
for line in sys.stdin:
    record = json.loads(line)
    if sys.argv[1] == 'spans':
        if record.get('route') != '/pay':
            continue
        for name in ('traceId', 'spanId', 'instance'):
            record.pop(name)
    else:
        idle = record['metric'] == 'node_cpu_seconds_total' and record.get('mode') == 'idle'
        if record['source'] != 'remote-write' or not (idle or record['metric'] in KEEP):
            continue
        if record.get('device') not in (None, 'eth0', 'vda', '/dev/vda'):
            continue
        # The samples of one scrape have one time: the scrape of each minute's first 5 s.
        if int(record['timestamp'][17:19]) >= 5:
            continue
    record.pop('received', None)
    print(json.dumps(record, separators=(',', ':')))
