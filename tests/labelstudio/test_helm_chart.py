"""The Helm chart: its templates are rendered by a stand-in for Helm, which tests do not have."""

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from helm_templates import render, render_text

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "sam2"


def test_the_chart_with_its_own_values_is_the_plain_example() -> None:
    plain = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text()))
    assert render(CHART, {}) == plain


def test_the_version_is_that_of_the_package() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert chart["appVersion"] == project["version"]


def test_every_value_of_the_chart_changes_what_is_made() -> None:
    gpu = {"limits": {"nvidia.com/gpu": 1, "memory": "12Gi"}}
    values: dict[str, Any] = {
        "image": {"repository": "registry/cells", "tag": "7", "pullPolicy": "Always"},
        "imagePullSecrets": [{"name": "pull"}],
        "secret": "keys",
        "env": {"LABEL_STUDIO_URL": "http://ls", "MODEL": 'a "b"', "TRAINING": 1},
        "resources": gpu,
        "nodeSelector": {"gpu": "yes"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "persistence": {"storageClass": "fast", "size": "50Gi"},
        "tmp": {"size": "1Gi"},
        "service": {"port": 80},
    }
    own = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() == own.keys()
    deployment, claim, service = render(CHART, values, "team-a")
    pod = deployment["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert (container["image"], container["imagePullPolicy"]) == ("registry/cells:7", "Always")
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]
    assert {one["name"]: one["value"] for one in container["env"]} == {
        "LABEL_STUDIO_URL": "http://ls",
        "MODEL": 'a "b"',
        "TRAINING": "1",
    }
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["nodeSelector"] == values["nodeSelector"]
    assert (pod["tolerations"], pod["imagePullSecrets"]) == (values["tolerations"], [{"name": "pull"}])
    assert pod["volumes"][0]["persistentVolumeClaim"] == {"claimName": "team-a"}
    assert pod["volumes"][1]["emptyDir"] == {"sizeLimit": "1Gi"}
    assert claim["spec"]["storageClassName"] == "fast"
    assert claim["spec"]["resources"]["requests"] == {"storage": "50Gi"}
    assert service["spec"]["ports"][0]["port"] == 80
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] == {"app": "team-a"}
    with_own_claim = {"persistence": {"existingClaim": "there"}}
    deployment, service = render(CHART, with_own_claim)
    claim_name = deployment["spec"]["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"]
    assert claim_name == "there"


def test_every_value_that_a_template_names_is_there() -> None:
    own = yaml.safe_load((CHART / "values.yaml").read_text())
    for path in (CHART / "templates").iterdir():
        for name in re.findall(r"\.Values((?:\.\w+)+)", path.read_text()):
            value = own
            for step in name[1:].split("."):
                assert step in value, f"{path.name}: {name}"
                value = value[step]


@pytest.mark.parametrize(
    "text", ["{{ .Values.missing.name }}", "{{ upper .Release.Name }}", "{{ with .A }}x"]
)
def test_what_the_stand_in_does_not_know_it_refuses(text: str) -> None:
    with pytest.raises((ValueError, KeyError)):
        render_text(text, {"Values": {}, "Release": {"Name": "sam2"}, "A": {"b": 1}})
