#!/usr/bin/python3
"""Sends pictures to a stream by Kafka and prints what is found in each.

usage: frames.py BROKERS STREAM MODEL PICTURE…      (Debian: apt-get install python3-kafka)
"""
import json
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

brokers, stream, model, *pictures = sys.argv[1:]
results = KafkaConsumer(bootstrap_servers=brokers, consumer_timeout_ms=60_000)
topic = f"myelin.results.{stream}"
results.assign([TopicPartition(topic, p) for p in results.partitions_for_topic(topic)])
results.seek_to_end()
[results.position(p) for p in results.assignment()]  # from now on

frames = KafkaProducer(bootstrap_servers=brokers, acks="all", max_request_size=8 << 20)
for picture in pictures:
    headers = [("model", model.encode()), ("frame-id", picture.encode())]
    frames.send(f"myelin.frames.{stream}", key=b"camera", value=open(picture, "rb").read(), headers=headers)

for _ in pictures:
    answer = next(results)
    about = {name: value.decode() for name, value in answer.headers}
    print(about["frame-id"], about["content-type"], json.loads(answer.value))
