#!/usr/bin/python3
"""Sends pictures to a stream by Kafka, prints what is found in each and keeps the annotated pictures.

usage: frames.py BROKERS STREAM MODEL PICTURE…      (Debian: apt-get install python3-kafka)
"""
import json
import os
import sys

from kafka import KafkaConsumer, KafkaProducer, TopicPartition

brokers, stream, model, *pictures = sys.argv[1:]
answers = KafkaConsumer(bootstrap_servers=brokers, consumer_timeout_ms=60_000)
topics = (f"myelin.results.{stream}", f"myelin.annotated.{stream}")
answers.assign([TopicPartition(t, p) for t in topics for p in answers.partitions_for_topic(t)])
answers.seek_to_end()
[answers.position(p) for p in answers.assignment()]  # from now on

frames = KafkaProducer(bootstrap_servers=brokers, acks="all", max_request_size=8 << 20)
for picture in pictures:
    headers = [("model", model.encode()), ("frame-id", picture.encode())]
    frames.send(f"myelin.frames.{stream}", key=b"camera", value=open(picture, "rb").read(), headers=headers)

results, annotated = len(pictures), 0  # to come
while results or annotated:
    answer = next(answers)
    about = {name: value.decode() for name, value in answer.headers}
    if answer.topic == topics[1]:
        annotated -= 1
        open(os.path.basename(about["frame-id"]) + "." + about["name"], "wb").write(answer.value)
    else:
        results -= 1
        annotated += len(about["pictures"].split(",")) if "pictures" in about else 0
        print(about["frame-id"], about["content-type"], json.loads(answer.value))
