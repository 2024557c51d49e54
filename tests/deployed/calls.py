"""Calls that the test makes on the local AWS, one a run, as JSON on standard input: {"call": …, …}. Prints the answer."""

import json
import sys

import boto3

order = json.load(sys.stdin)
match order["call"]:
    case "invoke":
        answer = boto3.client("lambda").invoke(
            FunctionName=order["function"], Payload=json.dumps(order["payload"]).encode()
        )
        print(json.dumps({"answer": json.loads(answer["Payload"].read() or b"null"), "error": answer.get("FunctionError")}))
    case "send":
        boto3.client("sqs").send_message(QueueUrl=order["queue"], MessageBody=order["body"])
        print("null")
    case "note":
        item = {"pk": f"note#{order['name']}", "sk": "note", "text": order["text"]}
        item = {name: {"S": value} for name, value in item.items()}
        boto3.client("dynamodb").put_item(TableName=order["table"], Item=item)
        print("null")
    case "object":
        boto3.client("s3").put_object(Bucket=order["bucket"], Key=order["key"], Body=order["text"].encode())
        print("null")
    case "received":
        attributes = boto3.client("sqs").get_queue_attributes(
            QueueUrl=order["queue"], AttributeNames=["ApproximateNumberOfMessages"]
        )
        print(attributes["Attributes"]["ApproximateNumberOfMessages"])
    case "schedules":
        found = boto3.client("scheduler").list_schedules(GroupName=order["group"])["Schedules"]
        print(json.dumps([schedule["Name"] for schedule in found]))
