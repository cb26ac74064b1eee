"""What the lesson on orchestration says to ECS and Kubernetes is what these take."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import botocore.session
import kubernetes_validate
import nbformat
import pytest
from botocore.validate import ParamValidator

LESSON = Path(__file__).parents[2] / "notebooks/en/16-orchestration.ipynb"
KUBERNETES = "1.34"


def printed(part: str) -> Any:
    """The JSON under the cell whose code has this part."""
    cells = nbformat.read(LESSON, 4).cells
    (cell,) = [cell for cell in cells if cell.cell_type == "code" and part in cell.source]
    return json.loads("".join(output.text for output in cell.outputs))


def complaints(operation: str, parameters: dict[str, Any]) -> str:
    """What AWS's model of a call of ECS has against its parameters."""
    model = botocore.session.Session().get_service_model("ecs")
    shape = model.operation_model(operation).input_shape
    return str(ParamValidator().validate(parameters, shape).generate_report())


def test_task_definition_and_service_are_what_ecs_takes() -> None:
    task, service = printed("task_definition =")
    assert not complaints("RegisterTaskDefinition", task)
    assert not complaints("CreateService", service)
    assert "cpus" in complaints("RegisterTaskDefinition", {**task, "cpus": "256"})


def test_kubernetes_takes_its_manifests_and_openshifts() -> None:
    deployment, autoscaler = printed("autoscaler =")
    for_openshift = copy.deepcopy(deployment)
    (container,) = for_openshift["spec"]["template"]["spec"]["containers"]
    container.update(printed("restricted ="))
    for one in (deployment, autoscaler, for_openshift):
        kubernetes_validate.validate(one, KUBERNETES, strict=True)
    container["securityContext"]["runAsNonroot"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(for_openshift, KUBERNETES, strict=True)
