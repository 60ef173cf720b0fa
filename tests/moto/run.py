#!/usr/bin/env python3
"""weir against moto's AWS services, with moto's checks of signatures and permissions on.

  python run.py --binary PATH

Needs the packages of requirements.txt (`make moto` installs them into target/venv-moto). What happens:

1. moto's server starts on a free port of 127.0.0.1. An IAM user is made that may only assume a role, and a role that
   trusts the user with an external id and may write logs and segments. Then the checks are switched on, and the script
   makes sure that they are: the user itself may not write, a wrong secret and a wrong external id are refused.
2. weir starts with the user's keys; `awsemf` and `awsxray` assume the role. A metric and a span sent to it over OTLP must be
   found by boto3: CreateLogGroup, PutRetentionPolicy, CreateLogStream, PutLogEvents, PutTraceSegments and AssumeRole.
3. weir starts with a web identity token in place of keys (AssumeRoleWithWebIdentity); its span must be found.

What moto cannot check, so neither can this:
- AssumeRoleWithWebIdentity is an unsigned call, which moto refuses while its checks are on. The first call of step 3 is let
  through unchecked; what comes after it is signed with the keys it gave, and checked. moto does not look at the token.
- Its names of X-Ray's actions are not those of AWS (`xray:TraceSegments` for PutTraceSegments); the policy here has both.
- It has no remote write endpoint, so `sigv4auth` is not part of this; its signatures are compared with botocore's in
  crates/aws.

Everything listens on 127.0.0.1 and ends within two minutes; only what was started here is ended.
"""

import argparse
import contextlib
import json
import os
import pathlib
import secrets
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

DEADLINE_S = 25
REGION = "eu-west-1"
EXTERNAL_ID = "weir-7"


def free_port():
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fetch(url, data=None, headers=None):
    """An answer's body; `data` makes it a POST."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    with urllib.request.urlopen(request, timeout=20) as answer:
        return answer.read()


def wait_until(what, check):
    """The first true answer of `check`."""
    end = time.monotonic() + DEADLINE_S
    last = None
    while time.monotonic() < end:
        try:
            if answer := check():
                return answer
        except (OSError, ClientError) as error:
            last = error
        time.sleep(0.1)
    raise SystemExit(f"FAILED: {what}: not seen within {DEADLINE_S} s ({last})")


@contextlib.contextmanager
def program(folder, name, command, env):
    """Runs a program with its output in a file; ends it, by force if need be. Prints the output when something failed."""
    path = folder / f"{name}.log"
    with open(path, "wb") as log:
        process = subprocess.Popen([str(part) for part in command], stdout=log, stderr=log, cwd=folder, env=env)
    try:
        yield process
    except BaseException:
        print(f"---- {path.name}\n{path.read_text(errors='replace')[-4000:]}", file=sys.stderr)
        raise
    finally:
        process.terminate()
        try:
            process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(timeout=5)


class Cloud:
    """moto, with an administrator to look with."""

    def __init__(self, url):
        self.url = url
        self.admin = ("setup", "setup")

    def client(self, service, keys=None):
        key, secret = keys or self.admin
        return boto3.client(service, endpoint_url=self.url, region_name=REGION, aws_access_key_id=key,
                            aws_secret_access_key=secret, config=Config(retries={"max_attempts": 0}))

    def check_from(self, count):
        """From so many calls on, signatures and permissions are checked."""
        fetch(f"{self.url}/moto-api/reset-auth", str(count).encode(), {"content-type": "text/plain"})

    def user(self, name, statement):
        """A user with a policy; its keys."""
        iam = self.client("iam")
        iam.create_user(UserName=name)
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_user_policy(UserName=name, PolicyName="p", PolicyDocument=policy)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        return made["AccessKeyId"], made["SecretAccessKey"]

    def role(self, name, trust, actions):
        """A role with a policy; its ARN."""
        iam = self.client("iam")
        trust = json.dumps({"Version": "2012-10-17", "Statement": [trust]})
        made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=trust)["Role"]
        policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions, "Resource": "*"}]}
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(policy))
        return made["Arn"]


def refused(what, call):
    """Makes sure that a call is refused."""
    try:
        call()
    except ClientError as error:
        status = error.response["ResponseMetadata"]["HTTPStatusCode"]
        if status != 403:
            raise SystemExit(f"FAILED: {what}: refused for another reason: {error}") from error
        print(f"ok: refused: {what}")
        return
    raise SystemExit(f"FAILED: {what}: moto let it through, so its checks prove nothing")


def set_up(cloud):
    """Users and roles; the checks are on afterwards. The user's keys, the ARNs of the two roles."""
    writes = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:PutLogEvents", "logs:PutRetentionPolicy",
              "xray:PutTraceSegments", "xray:PutTelemetryRecords", "xray:TraceSegments", "xray:TelemetryRecords"]
    administrator = cloud.user("admin", {"Effect": "Allow", "Action": "*", "Resource": "*"})
    writer = cloud.user("weir", {"Effect": "Allow", "Action": "sts:AssumeRole", "Resource": "*"})
    account = cloud.client("sts").get_caller_identity()["Account"]
    condition = {"StringEquals": {"sts:ExternalId": EXTERNAL_ID}}
    role = cloud.role("writer", {"Effect": "Allow", "Action": "sts:AssumeRole", "Condition": condition,
                                 "Principal": {"AWS": f"arn:aws:iam::{account}:user/weir"}}, writes)
    web = cloud.role("web", {"Effect": "Allow", "Action": "sts:AssumeRoleWithWebIdentity", "Principal": {"Federated": "x"}}, writes)
    cloud.admin = administrator
    cloud.check_from(0)
    sts = cloud.client("sts", writer)
    refused("a user without permission", lambda: cloud.client("logs", writer).create_log_group(logGroupName="no"))
    refused("a wrong secret", lambda: cloud.client("logs", (administrator[0], "wrong")).describe_log_groups())
    refused("a wrong external id", lambda: sts.assume_role(RoleArn=role, RoleSessionName="check", ExternalId="wrong"))
    sts.assume_role(RoleArn=role, RoleSessionName="check", ExternalId=EXTERNAL_ID)
    return writer, role, web


def configuration(ports, exporters):
    """A configuration of weir with an OTLP receiver and these exporters."""
    signals = {"awsemf": "metrics", "awsxray": "traces"}
    return {
        "extensions": {"health_check": {"endpoint": f"127.0.0.1:{ports['health']}"}},
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": f"127.0.0.1:{ports['otlp']}"}}}},
        "exporters": exporters,
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {signals[name]: {"receivers": ["otlp"], "exporters": [name]} for name in exporters},
        },
    }


@contextlib.contextmanager
def weir(folder, binary, exporters, env):
    """Runs weir with these exporters; gives a function that sends it OTLP."""
    ports = {"health": free_port(), "otlp": free_port()}
    (folder / "config.json").write_text(json.dumps(configuration(ports, exporters)))
    clean = {"HOME": str(folder), "PATH": os.environ["PATH"], "AWS_EC2_METADATA_DISABLED": "true", **env}
    with program(folder, "weir", [binary, "--config", folder / "config.json"], clean):
        wait_until("health check of weir", lambda: fetch(f"http://127.0.0.1:{ports['health']}/"))

        def send(signal, body):
            headers = {"content-type": "application/json"}
            fetch(f"http://127.0.0.1:{ports['otlp']}/v1/{signal}", json.dumps(body).encode(), headers)

        yield send


RESOURCE = {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]}


def metric(value):
    """OTLP/JSON of one gauge."""
    point = {"timeUnixNano": str(time.time_ns()), "asInt": str(value),
             "attributes": [{"key": "lane", "value": {"stringValue": "a"}}]}
    metrics = [{"name": "orders", "unit": "1", "gauge": {"dataPoints": [point]}}]
    return {"resourceMetrics": [{"resource": RESOURCE, "scopeMetrics": [{"metrics": metrics}]}]}


def span(name):
    """OTLP/JSON of one server span; its ids in the form of X-Ray."""
    now = time.time_ns()
    trace, segment = f"{now // 10**9:08x}{secrets.token_hex(12)}", secrets.token_hex(8)
    spans = [{"traceId": trace, "spanId": segment, "name": name, "kind": 2,
              "startTimeUnixNano": str(now - 10**9), "endTimeUnixNano": str(now)}]
    body = {"resourceSpans": [{"resource": RESOURCE, "scopeSpans": [{"spans": spans}]}]}
    return body, f"1-{trace[:8]}-{trace[8:]}", segment


def segment_of(cloud, trace, segment):
    """Waits for a segment to be read back."""
    def look():
        traces = cloud.client("xray").batch_get_traces(TraceIds=[trace]).get("Traces", [])
        documents = [json.loads(part["Document"]) for found in traces for part in found["Segments"]]
        return next((d for d in documents if d["id"] == segment), None)
    return wait_until(f"segment {segment}", look)


def with_role(cloud, folder, binary, keys, role):
    """Step 2."""
    common = {"region": REGION, "role_arn": role, "external_id": EXTERNAL_ID}
    exporters = {
        "awsemf": {**common, "endpoint": cloud.url, "namespace": "Shop", "log_group_name": "/metrics/shop",
                   "log_stream_name": "s 1", "log_retention": 7, "dimension_rollup_option": "NoDimensionRollup"},
        "awsxray": {**common, "endpoint": cloud.url},
    }
    env = {"AWS_ACCESS_KEY_ID": keys[0], "AWS_SECRET_ACCESS_KEY": keys[1], "AWS_ENDPOINT_URL_STS": cloud.url}
    with weir(folder, binary, exporters, env) as send:
        send("metrics", metric(42))
        body, trace, segment = span("GET /orders")
        send("traces", body)
        logs = cloud.client("logs")

        def events():
            found = logs.get_log_events(logGroupName="/metrics/shop", logStreamName="s 1")["events"]
            return [json.loads(event["message"]) for event in found]
        event = wait_until("an event", events)[0]
        document = segment_of(cloud, trace, segment)
    group = logs.describe_log_groups(logGroupNamePrefix="/metrics/shop")["logGroups"][0]
    checks = {
        "value of the metric": (event.get("orders"), 42),
        "its dimension": (event.get("lane"), "a"),
        "namespace": (event["_aws"]["CloudWatchMetrics"][0]["Namespace"], "Shop"),
        "retention": (group.get("retentionInDays"), 7),
        "name of the segment": (document.get("name"), "shop"),
        "its trace": (document.get("trace_id"), trace),
    }
    for what, (got, wanted) in checks.items():
        if got != wanted:
            raise SystemExit(f"FAILED: {what} is {got!r}, not {wanted!r}")
    print("ok: AssumeRole, CreateLogGroup, PutRetentionPolicy, CreateLogStream, PutLogEvents, PutTraceSegments: read back")


def with_web_identity(cloud, folder, binary, role):
    """Step 3."""
    (folder / "token").write_text("header.payload.signature")
    env = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(folder / "token"), "AWS_ROLE_ARN": role, "AWS_ENDPOINT_URL": cloud.url}
    with weir(folder, binary, {"awsxray": {"region": REGION}}, env) as send:
        cloud.check_from(1)
        body, trace, segment = span("GET /web")
        send("traces", body)
        segment_of(cloud, trace, segment)
    print("ok: AssumeRoleWithWebIdentity, PutTraceSegments: read back")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--binary", required=True, type=pathlib.Path)
    binary = parser.parse_args().binary.resolve()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        port = free_port()
        cloud = Cloud(f"http://127.0.0.1:{port}")
        command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
        with program(folder, "moto", command, dict(os.environ)):
            wait_until("moto", lambda: fetch(f"{cloud.url}/moto-api/data.json"))
            keys, role, web = set_up(cloud)
            with_role(cloud, folder, binary, keys, role)
            with_web_identity(cloud, folder, binary, web)
    print("moto: all read back")


if __name__ == "__main__":
    main()
