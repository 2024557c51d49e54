"""Deploys template.yaml on a local AWS with functions that are built already, and prints what a client of the stack needs.

    deploy.py REPOSITORY BINARIES WORK SETTINGS

SETTINGS is JSON: "parameters" of the template and "secrets" for Secrets Manager. AWS_ENDPOINT_URL names the local AWS.

The template is deployed as it is, but for each function's CodeUri, which names the folder with its `bootstrap`, as `sam build`
would have it. What MiniStack 1.4.21 accepts and ignores is set through its APIs afterwards, one line each below.
"""

import json
import os
import pathlib
import re
import shutil
import subprocess
import sys

import boto3

repository, binaries, work = (pathlib.Path(argument) for argument in sys.argv[1:4])
settings = json.loads(sys.argv[4])
STACK = "deployed"
WORKFLOWS = {
    "build-agent": "BuildAgent",
    "sync-databases": "SyncDatabases",
    "send-whatsapp": "SendWhatsapp",
    "watch-whatsapp": "WatchWhatsapp",
    "evaluate-foto": "EvaluateFoto",
}


def laid_out() -> pathlib.Path:
    """The template with a folder for each function, and the templates that it nests."""
    text = (repository / "template.yaml").read_text()
    function = r"(Binary: (\S+) \}.*?CodeUri: )functions/\S+"
    for _, name in re.findall(function, text, re.DOTALL):
        folder = work / "build" / name
        folder.mkdir(parents=True, exist_ok=True)
        # Debug information would make each upload ten times as large.
        subprocess.run(["strip", "-o", folder / "bootstrap", binaries / name], check=True)
    text = re.sub(function, r"\1build/\2", text, flags=re.DOTALL)
    shutil.copytree(repository / "infra", work / "infra")
    template = work / "template.yaml"
    template.write_text(text)
    return template


def deploy(template: pathlib.Path) -> None:
    parameters = [f"{name}={value}" for name, value in settings["parameters"].items()]
    command = [
        repository / ".tools/sam/bin/sam", "deploy", "--template-file", template, "--stack-name", STACK, "--resolve-s3",
        "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND", "--no-confirm-changeset", "--no-progressbar",
        "--no-fail-on-empty-changeset", "--parameter-overrides", *parameters,
    ]
    ended = subprocess.run(command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if ended.returncode != 0:
        sys.exit(ended.stdout)


def with_secrets(functions, function: str) -> dict[str, str]:
    """A function's environment with its secrets: {{resolve:secretsmanager:…:SecretString:KEY}} stays as it is."""
    variables = functions.get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    for variable, value in variables.items():
        if value.startswith("{{resolve:"):
            variables[variable] = settings["secrets"][value.rstrip("}").rsplit(":", 1)[1]]
    return variables


def made_up_for(resources: dict[str, str]) -> None:
    """What the stand-in ignores in the template."""
    sqs, functions = boto3.client("sqs"), boto3.client("lambda")
    for name in WORKFLOWS.values():
        dead = sqs.get_queue_attributes(QueueUrl=resources[f"{name}DeadLetters"], AttributeNames=["QueueArn"])
        redrive = {"deadLetterTargetArn": dead["Attributes"]["QueueArn"], "maxReceiveCount": 5}
        sqs.set_queue_attributes(QueueUrl=resources[f"{name}Queue"], Attributes={"RedrivePolicy": json.dumps(redrive)})
        function = resources[f"{name}Function"]
        functions.put_function_recursion_config(FunctionName=function, RecursiveLoop="Allow")
        variables = with_secrets(functions, function)
        variables["AWS_ENDPOINT_URL_SQS"] = settings["sqs"]
        if name == "BuildAgent":
            # So that a pause of 30 s is as one of hours: a one-time schedule ends it.
            variables["DURABLE_LONGEST_DELAY_SECONDS"] = "10"
        functions.update_function_configuration(FunctionName=function, Environment={"Variables": variables})
    console = resources["ConsoleFunction"]
    variables = with_secrets(functions, console)
    functions.update_function_configuration(FunctionName=console, Environment={"Variables": variables})
    table = resources["Table"]
    boto3.client("dynamodb").update_time_to_live(
        TableName=table, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
    )
    # So that the test need not wait for two minutes: a lease lasts as long as an invocation may.
    functions.update_function_configuration(FunctionName=resources["SyncDatabasesFunction"], Timeout=20)


def deliver_twice(resources: dict[str, str]) -> None:
    """A second rule beside each of the template's: whatever one sends to a queue, the other sends as well."""
    events = boto3.client("events")
    for name in [*WORKFLOWS.values(), "Recorder"]:
        rule = resources[f"{name}Rule"].split("|")[-1].rsplit("/", 1)[-1]
        bus = settings["parameters"]["BusName"]
        pattern = events.describe_rule(Name=rule, EventBusName=bus)["EventPattern"]
        target = events.list_targets_by_rule(Rule=rule, EventBusName=bus)["Targets"][0]
        events.put_rule(Name=f"again-{name}", EventBusName=bus, EventPattern=pattern)
        events.put_targets(Rule=f"again-{name}", EventBusName=bus, Targets=[{"Id": "again", "Arn": target["Arn"]}])


def main() -> None:
    secret = json.dumps(settings["secrets"])
    boto3.client("secretsmanager").create_secret(Name=settings["parameters"]["SecretName"], SecretString=secret)
    registries = settings["parameters"]["RegistryBucket"]
    boto3.client("s3").create_bucket(Bucket=registries)
    boto3.client("s3").upload_file(repository / "functions/orchestrator/registry.json", registries, "registry.json")
    deploy(laid_out())
    formation = boto3.client("cloudformation")
    found = formation.describe_stack_resources(StackName=STACK)["StackResources"]
    resources = {resource["LogicalResourceId"]: resource["PhysicalResourceId"] for resource in found}
    made_up_for(resources)
    deliver_twice(resources)
    outputs = formation.describe_stacks(StackName=STACK)["Stacks"][0]["Outputs"]
    outputs = {output["OutputKey"]: output["OutputValue"] for output in outputs}
    environment = {
        "DURABLE_TABLE": outputs["TableName"],
        "DURABLE_BUCKET": outputs["BucketName"],
        "DURABLE_BUS": outputs["BusName"],
        "DURABLE_QUEUES": outputs["Queues"],
        "DURABLE_SCHEDULE_GROUP": outputs["ScheduleGroup"],
        "DURABLE_SCHEDULE_ROLE_ARN": outputs["ScheduleRoleArn"],
    }
    print(json.dumps({"environment": environment, "resources": resources}))


os.environ.setdefault("SAM_CLI_TELEMETRY", "0")
main()
