#!/usr/bin/python3
"""Submits a job by Kafka, follows its events and prints its result.

usage: job.py BROKERS MODEL PICTURE      (Debian: apt-get install python3-kafka)
"""
import base64
import json
import sys
import uuid

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

brokers, model, picture = sys.argv[1:]
follow = KafkaConsumer(bootstrap_servers=brokers, consumer_timeout_ms=60_000)
follow.assign([TopicPartition(t, p) for t in ("myelin.events", "myelin.jobs.out") for p in follow.partitions_for_topic(t)])
follow.seek_to_end()
[follow.position(p) for p in follow.assignment()]  # from now on

request = str(uuid.uuid4())  # however often it is sent, it is one job
body = {"model": model, "input": {"image": base64.b64encode(open(picture, "rb").read()).decode()}}
jobs = KafkaProducer(bootstrap_servers=brokers, acks="all", max_request_size=8 << 20)
jobs.send("myelin.jobs.in", key=request.encode(), value=json.dumps(body).encode())

for message in follow:
    headers = {name: value.decode() for name, value in message.headers}
    if message.topic == "myelin.events" and "preview" not in headers:
        event = json.loads(message.value)
        if event.get("request") == request:
            print("event", event["kind"], event["state"])
    elif headers.get("idempotency-key") == request:
        answer = json.loads(message.value)
        if answer.get("state") not in ("queued", "running"):  # ended, or a problem
            print(json.dumps(answer.get("result", answer)))
            break
