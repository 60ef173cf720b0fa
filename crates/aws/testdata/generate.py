#!/usr/bin/env python3
"""Writes signatures.json and endpoints.json: what botocore makes of the same requests and regions.

The tests of this crate compare every row with our own signer and our own endpoints. Run it again only to
add rows, or to check against a newer botocore:

    python3 -m venv /tmp/venv && /tmp/venv/bin/pip install botocore
    /tmp/venv/bin/python crates/aws/testdata/generate.py

The time of a signature and all credentials are fixed; the credentials are the examples of the AWS documentation
and open nothing. Rows of signatures.json:

    name, method, url, headers (list of pairs), body (text) or repeat (text and count), access_key, secret_key,
    token (or null), region, service, unix (seconds), and the result: authorization.

Left out on purpose, because the reference differs from botocore there: paths with empty, `.` or `..` segments (botocore
normalises them, the reference does not), a `+` in a query (the reference rewrites it to `%20`), and tabs inside header values
(botocore collapses them as it does spaces, the reference does not).
"""
import datetime
import json
import pathlib

import botocore
import botocore.auth
import botocore.session
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from botocore.endpoint_provider import EndpointProvider
from botocore.exceptions import BotoCoreError

HERE = pathlib.Path(__file__).parent
UNIX = 1_700_000_000
KEY = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
TOKEN = "AQoDYXdzEPT//////////wEXAMPLEtc764bNrC9SAPBSM22wDOk4x4HIZ8j4FZTwdQWLWsKWHGBuFqwAeMicRXmxfpSPfIeoIYRqTflfKD8YUuwthAx7mSEI/qkPpKPi/kMcGd=="
JSON11 = [["content-type", "application/x-amz-json-1.1"]]
SNAPPY = [["content-encoding", "snappy"], ["content-type", "application/x-protobuf"],
          ["x-prometheus-remote-write-version", "0.1.0"]]

REGIONS = ["us-east-1", "us-west-2", "eu-west-1", "eu-central-1", "ap-southeast-2", "sa-east-1", "af-south-1", "cn-north-1",
           "cn-northwest-1", "us-gov-west-1", "us-gov-east-1", "us-iso-east-1", "us-iso-west-1", "us-isob-east-1",
           "eu-isoe-west-1", "us-isof-south-1", "eusc-de-east-1"]


def requests():
    """The table: keyword arguments of `row`."""
    logs = "https://logs.us-east-1.amazonaws.com/"
    for action in ("PutLogEvents", "CreateLogGroup", "CreateLogStream", "PutRetentionPolicy"):
        yield dict(name=f"logs {action}", url=logs, service="logs", body='{"logGroupName":"g"}',
                   headers=JSON11 + [["x-amz-target", f"Logs_20140328.{action}"]])
    yield dict(name="logs with a token", url=logs, service="logs", body="{}", token=TOKEN, headers=JSON11)
    yield dict(name="logs in the EMF format", url=logs, service="logs", body="{}",
               headers=JSON11 + [["x-amzn-logs-format", "json/emf"], ["amz-sdk-request", "attempt=1; max=2"],
                                 ["amz-sdk-invocation-id", "12345678-1234-4123-8123-123456789abc"]])
    for name, body in (("empty", ""), ("one byte", "x"), ("not ASCII", "{\"a\":\"\u00e4\u20ac\U0001f600\"}"), ("line breaks", "a\r\nb\n")):
        yield dict(name=f"xray, {name} body", url="https://xray.eu-west-1.amazonaws.com/TraceSegments", service="xray",
                   region="eu-west-1", body=body, headers=[["content-type", "application/json"]])
    for count in (1_000, 65_536, 1_048_576, 5_000_001):
        yield dict(name=f"body of {count} bytes", url=logs, service="logs", repeat=["x", count], headers=JSON11)
    for region in REGIONS:
        end = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
        yield dict(name=f"remote write to {region}", service="aps", region=region, body="snappy", headers=SNAPPY,
                   token=TOKEN if len(region) % 2 else None,
                   url=f"https://aps-workspaces.{region}.{end}/workspaces/ws-1/api/v1/remote_write")
    for path in ("/a%20b", "/a%2520b", "/%E2%82%AC", "/a+b", "/a:b@c", "/a=b,c;d", "/~user/-._", "/$x!'()*", "/%7Etilde",
                 "/trailing/", "/%2Fslash", "/_search%3Fq"):
        yield dict(name=f"path {path}", url=f"https://search-dom.us-east-1.es.amazonaws.com{path}", service="es", method="GET")
    for query in ("a=1&b=2", "b=2&a=1", "a=2&a=1", "a=1&a=2&A=3", "a", "a=", "a=&b", "k=v%20w", "k=%E2%82%AC", "k=a%2Bb", "k=a%2Fb",
                  "z=1&Y=2&x=3", "filter=%7B%22a%22%3A1%7D", "match%5B%5D=up&match%5B%5D=down", "k=~-._"):
        yield dict(name=f"query {query}", url=f"https://xray.us-east-1.amazonaws.com/p?{query}", service="xray", method="GET")
    for url in ("http://localhost/x", "http://localhost:80/x", "http://localhost:8080/x", "https://example.com:443/x",
                "https://example.com:8443/x", "http://127.0.0.1:9/x", "https://example.com"):
        yield dict(name=f"host of {url}", url=url, service="s", body="b")
    for name, headers in (
            ("spaces in a value", [["x-note", "  a   b  c  "]]),
            ("two values", [["x-many", "one"], ["x-many", "two"]]),
            ("empty value", [["x-empty", ""]]),
            ("names in another order", [["z-last", "1"], ["a-first", "2"], ["m-middle", "3"]]),
            ("what is never signed", [["user-agent", "me/1"], ["expect", "100-continue"], ["x-amzn-trace-id", "Root=1"],
                                      ["transfer-encoding", "chunked"]])):
        yield dict(name=f"headers: {name}", url="https://example.com/", service="s", body="b", headers=headers)
    for method in ("GET", "PUT", "DELETE", "HEAD", "PATCH"):
        yield dict(name=f"method {method}", url="https://example.com/", service="s", method=method)
    yield dict(name="STS AssumeRole", url="https://sts.amazonaws.com/", service="sts",
               headers=[["content-type", "application/x-www-form-urlencoded"]],
               body="Action=AssumeRole&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A123456789012%3Arole%2Fr&RoleSessionName=s")
    yield dict(name="start of a year", url="https://example.com/", service="s", unix=1_704_067_200)
    yield dict(name="last second of a leap day", url="https://example.com/", service="s", unix=1_709_251_199)


def row(name, url, service, method="POST", region="us-east-1", headers=(), body="", repeat=None, token=None, unix=UNIX):
    data = (repeat[0] * repeat[1] if repeat else body).encode()
    at = datetime.datetime.fromtimestamp(unix, datetime.timezone.utc)
    botocore.auth.get_current_datetime = lambda remove_tzinfo=True: at.replace(tzinfo=None) if remove_tzinfo else at
    request = AWSRequest(method=method, url=url, data=data)
    for key, value in headers:
        request.headers.add_header(key, value)
    if data:
        request.headers["content-length"] = str(len(data))
    botocore.auth.SigV4Auth(Credentials(KEY, SECRET, token), service, region).add_auth(request)
    result = dict(name=name, method=method, url=url, headers=[list(pair) for pair in headers])
    result.update(dict(repeat=repeat) if repeat else dict(body=body))
    return dict(result, access_key=KEY, secret_key=SECRET, token=token, region=region, service=service, unix=unix,
                authorization=request.headers["Authorization"])


def endpoints():
    loader = botocore.session.get_session().get_component("data_loader")
    partitions = loader.load_data("partitions")
    for service in ("logs", "xray", "sts", "sso", "sso-oidc"):
        rules = EndpointProvider(loader.load_service_model(service, "endpoint-rule-set-1"), partitions)
        for region in REGIONS + ["aws-global"]:
            for fips in (False, True):
                for dual_stack in (False, True):
                    more = dict(UseGlobalEndpoint=False) if service == "sts" else {}
                    try:
                        url = rules.resolve_endpoint(Region=region, UseFIPS=fips, UseDualStack=dual_stack, **more).url
                    except BotoCoreError as error:
                        print("left out:", service, region, fips, dual_stack, error)
                        continue
                    name = "cloudwatch_logs" if service == "logs" else service.replace("-", "_")
                    yield dict(service=name, region=region, fips=fips, dual_stack=dual_stack, url=url)


def write(name, rows):
    rows = list(rows)
    text = ",\n".join(json.dumps(r) for r in rows)
    (HERE / name).write_text(f"[\n{text}\n]\n")
    print(f"{name}: {len(rows)} rows, botocore {botocore.__version__}")


if __name__ == "__main__":
    write("signatures.json", (row(**r) for r in requests()))
    write("endpoints.json", endpoints())
