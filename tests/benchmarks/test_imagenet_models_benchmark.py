"""Published models are chosen by family, recipe and size, scored once each, and judged by accuracies that are read last."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec

import pytest

from benchmarks.scores import imagenet_models

pytestmark = pytest.mark.skipif(find_spec("timm") is None, reason="timm is not installed")

RESULTS = """model,img_size,top1,param_count,pretraining,family,infer_gmacs
resnet10t.c3_in1k,176,66.7,5.44,,resnet,0.7
resnet18.a1_in1k,288,73.2,11.69,,resnet,3.0
resnet18.a1_in1k,224,71.5,11.69,,resnet,1.8
resnet18.gluon_in1k,224,70.8,11.69,,resnet,1.8
resnet18.fb_ssl_yfcc100m_ft_in1k,224,72.6,11.69,,resnet,1.8
resnet101.tv_in1k,224,77.4,44.55,,resnet,7.8
lcnet_050.ra2_in1k,224,63.1,1.88,,lcnet,0.05
lcnet_075.ra2_in1k,224,68.8,2.36,,lcnet,0.1
test_vit.r160_in1k,160,40.0,0.4,,vit,0.04
vit_small_patch16_224.augreg_in21k_ft_in1k,224,81.4,22.05,,vit,4.6
gmlp_s16_224.ra3_in1k,224,79.6,19.42,,gmlp,4.4
"""


@pytest.fixture
def benchdata(tmp_path):
    import gzip

    (tmp_path / "timm_results.csv.gz").write_bytes(gzip.compress(RESULTS.encode()))
    return tmp_path


def test_models_are_chosen_by_family_recipe_and_size(benchdata):
    chosen = imagenet_models.candidates(benchdata, 5.0)
    assert list(chosen) == ["resnet10t", "resnet18", "resnet101"]
    assert chosen["resnet18"] == {"groups": ["CNNs", "ResNets"], "size": 224, "gmacs": 1.8}
    assert chosen["resnet101"]["groups"] == ["ResNets"]


def run(*arguments):
    sys.argv = ["imagenet_models", *map(str, arguments)]
    imagenet_models.main()


def test_scores_resume_and_the_report_judges_them(benchdata, monkeypatch, capsys):
    monkeypatch.setattr(imagenet_models, "GROUPS", {"CNNs": ("lcnet", "resnet"), "MobileNets": ("lcnet",)})
    monkeypatch.setattr(imagenet_models, "SURVEYED", {"synflow": ("synflow", {})})
    options = "--benchdata", benchdata, "--folder", benchdata, "--pixels", 32, "--images", 3, "--gmacs", 0.75
    run("score", *options)
    assert "3/3 resnet10t" in capsys.readouterr().out
    run("score", *options)
    assert not capsys.readouterr().out
    lines = [json.loads(line) for line in (benchdata / "imagenet_models_32.jsonl").read_text().splitlines()]
    assert [line["model"] for line in lines] == ["lcnet_050", "lcnet_075", "resnet10t"]
    assert "synflow" in lines[0]["scores"] and "synflow" not in lines[2]["scores"]
    run("report", *options)
    printed = capsys.readouterr().out
    assert "| CNNs, up to 0.7 GMACs" in printed and "rbflex_robust" in printed and "0 refused" in printed
    found = json.loads((benchdata / "imagenet_models.json").read_text())
    assert found["CNNs"]["models"] == ["lcnet_050", "lcnet_075", "resnet10t"]
    assert (benchdata / "imagenet_models.png").exists()
