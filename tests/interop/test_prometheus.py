"""Prometheus's own checks of the metrics and of the alerts, and the names that dashboards ask for."""

import json
import pathlib
import re
import shutil
import subprocess
import urllib.request

import pytest

TOOL_TIMEOUT_S = 60
PACKAGING = pathlib.Path(__file__).resolve().parents[2] / "packaging" / "prometheus"
ALERTS = PACKAGING / "leveret-alerts.yml"

promtool = pytest.mark.skipif(
    not shutil.which("promtool"),
    reason="promtool is missing; it is in Debian's package prometheus",
)

# What /metrics/detailed can be asked for, of RabbitMQ 3.10's documentation.
FAMILIES = [
    "connection_churn_metrics", "node_metrics", "node_persister_metrics", "ra_metrics",
    "auth_attempt_metrics", "queue_coarse_metrics", "queue_metrics", "queue_consumer_count",
    "connection_coarse_metrics", "connection_metrics", "channel_metrics",
    "channel_exchange_metrics", "channel_process_metrics", "channel_queue_metrics",
    "channel_queue_exchange_metrics", "vhost_status", "exchange_bindings", "exchange_names",
]

# Which metrics RabbitMQ's dashboard RabbitMQ-Overview asks for: in the editions before 3.12 those of
# channels, since then global ones.
OVERVIEW = """
rabbitmq_build_info rabbitmq_identity_info
rabbitmq_queue_messages_ready rabbitmq_queue_messages_unacked rabbitmq_queues
rabbitmq_connections rabbitmq_channels rabbitmq_channel_consumers rabbitmq_consumers
rabbitmq_resident_memory_limit_bytes rabbitmq_process_resident_memory_bytes
rabbitmq_disk_space_available_bytes rabbitmq_disk_space_available_limit_bytes
rabbitmq_process_max_fds rabbitmq_process_open_fds
rabbitmq_process_max_tcp_sockets rabbitmq_process_open_tcp_sockets
rabbitmq_channel_messages_published_total rabbitmq_channel_messages_confirmed_total
rabbitmq_channel_messages_unconfirmed rabbitmq_queue_messages_published_total
rabbitmq_channel_messages_unroutable_dropped_total
rabbitmq_channel_messages_unroutable_returned_total
rabbitmq_channel_messages_delivered_total rabbitmq_channel_messages_delivered_ack_total
rabbitmq_channel_messages_redelivered_total rabbitmq_channel_messages_acked_total
rabbitmq_channel_get_total rabbitmq_channel_get_ack_total rabbitmq_channel_get_empty_total
rabbitmq_global_messages_received_total rabbitmq_global_messages_confirmed_total
rabbitmq_global_messages_routed_total rabbitmq_global_messages_redelivered_total
rabbitmq_global_messages_unroutable_dropped_total
rabbitmq_global_messages_unroutable_returned_total
rabbitmq_global_messages_delivered_consume_auto_ack_total
rabbitmq_global_messages_delivered_consume_manual_ack_total
rabbitmq_global_messages_delivered_get_auto_ack_total
rabbitmq_global_messages_delivered_get_manual_ack_total
rabbitmq_global_messages_acknowledged_total rabbitmq_global_messages_get_empty_total
rabbitmq_global_publishers rabbitmq_global_consumers
rabbitmq_queues_declared_total rabbitmq_queues_created_total rabbitmq_queues_deleted_total
rabbitmq_channels_opened_total rabbitmq_channels_closed_total
rabbitmq_connections_opened_total rabbitmq_connections_closed_total
""".split()

# For each alert: series that fire it, and such that come near.
CASES = {
    "LeveretBlocksPublishers": (
        ['leveret_publishers_blocked{reason="memory"} 1x60'],
        ['leveret_publishers_blocked{reason="memory"} 0x60'],
    ),
    "LeveretMemoryNearLimit": (
        ["rabbitmq_process_resident_memory_bytes 81x60", "rabbitmq_resident_memory_limit_bytes 100x60"],
        ["rabbitmq_process_resident_memory_bytes 79x60", "rabbitmq_resident_memory_limit_bytes 100x60"],
    ),
    "LeveretDiskFillsUp": (
        ["rabbitmq_disk_space_available_bytes 20000-60x60",
         "rabbitmq_disk_space_available_limit_bytes 5000x60"],
        ["rabbitmq_disk_space_available_bytes 20000-10x60",
         "rabbitmq_disk_space_available_limit_bytes 5000x60"],
    ),
    # Time begins with 0 there.
    "LeveretCertificateExpires": (
        ["leveret_tls_certificate_expires_timestamp_seconds 1200000x60"],
        ["leveret_tls_certificate_expires_timestamp_seconds 1300000x60"],
    ),
    "LeveretShortOfFileDescriptors": (
        ["rabbitmq_process_open_fds 91x60", "rabbitmq_process_max_fds 100x60"],
        ["rabbitmq_process_open_fds 89x60", "rabbitmq_process_max_fds 100x60",
         "rabbitmq_alarms_file_descriptor_limit 0x60"],
    ),
    "LeveretQueuesGrow": (
        ["rabbitmq_queue_messages_ready 20000+10x60"],
        ["rabbitmq_queue_messages_ready 40000-10x60"],
    ),
    "LeveretMessagesDropped": (
        ["rabbitmq_global_messages_unroutable_dropped_total 0+1x60"],
        ["rabbitmq_global_messages_unroutable_dropped_total 7x60"],
    ),
    "LeveretSyncsAreSlow": (
        ["leveret_sync_seconds_sum 0+12x60", "leveret_sync_seconds_count 0+100x60"],
        ["leveret_sync_seconds_sum 0+8x60", "leveret_sync_seconds_count 0+100x60"],
    ),
    "LeveretTurnsAreLong": (
        ["leveret_longest_turn_seconds 0.3x60"],
        ["leveret_longest_turn_seconds 0.2x60"],
    ),
}


def check(*command, given=None):
    """Runs promtool, which has to find nothing wrong; what it said."""
    finished = subprocess.run(
        ["promtool", *command], input=given, capture_output=True, timeout=TOOL_TIMEOUT_S,
        check=False, text=True,
    )
    said = finished.stdout + finished.stderr
    assert finished.returncode == 0, said
    return said


@pytest.fixture
def scrape(managed):
    """Reads metrics, as Prometheus does, of a broker that has done something of everything."""
    with managed.connect() as connection:
        channel = connection.channel()
        channel.queue_declare("scraped", durable=True)
        channel.exchange_declare("scraped.x", "fanout")
        channel.queue_bind("scraped", "scraped.x")
        channel.confirm_delivery()
        for n in range(3):
            channel.basic_publish("", "scraped", f"{n}".encode())
        channel.basic_qos(prefetch_count=1)
        channel.basic_consume("scraped", lambda *_: None)
        connection.process_data_events(0)
        root = managed.api.removesuffix("/api")

        def read(path):
            with urllib.request.urlopen(f"{root}/{path}", timeout=30) as answer:
                return answer.read().decode()

        yield read
        channel.queue_delete("scraped")
        channel.exchange_delete("scraped.x")


@promtool
@pytest.mark.parametrize(
    "path",
    ["metrics", "metrics/per-object",
     "metrics/detailed?" + "&".join(f"family={family}" for family in FAMILIES)],
)
def test_promtool_finds_nothing_wrong_with_the_metrics(scrape, path):
    text = scrape(path)
    assert text.count("\n") > 10
    assert not check("check", "metrics", given=text).strip()


@promtool
def test_each_alert_fires_when_it_should_and_not_before(tmp_path):
    assert f"{len(CASES)} rules found" in check("check", "rules", str(ALERTS))
    names = set(re.findall(r"alert: (\w+)", ALERTS.read_text()))
    assert names == CASES.keys()
    tests = []
    for name, (firing, calm) in CASES.items():
        for series, fires in [(firing, True), (calm, False)]:
            # Whatever labels it has: its name is enough, in the series that promtool keeps.
            expression = f'count(ALERTS{{alertname="{name}", alertstate="firing"}}) or vector(0)'
            tests.append({
                "interval": "1m",
                "input_series": [
                    {"series": line.rsplit(" ", 1)[0], "values": line.rsplit(" ", 1)[1]}
                    for line in series
                ],
                "promql_expr_test": [{
                    "expr": expression, "eval_time": "59m",
                    "exp_samples": [{"labels": "{}", "value": 1 if fires else 0}],
                }],
            })
    # JSON is YAML.
    file = tmp_path / "alerts-test.yml"
    settings = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": tests}
    file.write_text(json.dumps(settings))
    assert "SUCCESS" in check("test", "rules", str(file))


def names_in(text):
    """The metrics that something asks for."""
    return set(re.findall(r"\b((?:rabbitmq|leveret)_[a-z_]+)\b", text))


def names_of(text):
    """The metrics that an answer has, and under which names a histogram's are asked for."""
    names = set(re.findall(r"^# TYPE (\w+)", text, re.MULTILINE))
    histograms = re.findall(r"^# TYPE (\w+) histogram", text, re.MULTILINE)
    return names | {f"{name}_{of}" for name in histograms for of in ("bucket", "count", "sum")}


def test_rabbitmqs_overview_dashboard_finds_all_its_metrics(scrape):
    kept = names_of(scrape("metrics"))
    missing = set(OVERVIEW) - kept
    assert not missing


def test_what_alerts_and_dashboard_ask_for_is_there(scrape):
    kept = names_of(scrape("metrics"))
    # It is there where certificates are; the tests of TLS look at it.
    kept.add("leveret_tls_certificate_expires_timestamp_seconds")
    asked = {name for line in re.findall(r"expr: (.*(?:\n {10}.*)*)", ALERTS.read_text())
             for name in names_in(line)}
    dashboard = json.loads((PACKAGING / "leveret-dashboard.json").read_text())
    expressions = [
        target["expr"] for panel in dashboard["panels"] for target in panel.get("targets", [])
    ]
    assert expressions and asked
    asked |= {name for expression in expressions for name in names_in(expression)}
    labels = {"rabbitmq_cluster", "rabbitmq_node", "rabbitmq_version", "leveret_version"}
    assert not asked - kept - labels
