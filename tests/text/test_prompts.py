"""A photo asked in words: what the libraries say themselves, and gradients written out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import torch.nn.functional as F
from clips import KINDS, LONGEST, TOKENIZER, TRANSFORM, hf_tokenizer, shaken, small
from families import make_photo, random_module
from open_clip.tokenizer import HFTokenizer
from other_device import OTHER, other_device
from PIL import Image
from torch import Tensor, nn

import vitviz
from vitviz.inside.lens import logit_lens, residual_stream
from vitviz.models.weights import weights_hash
from vitviz.recording import layers
from vitviz.text.clip import from_clip

PROMPTS = ["a cat", "a photo of a cup", "mountain"]


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    return make_photo(size=(90, 70))


@pytest.mark.parametrize("kind", KINDS)
class TestAnswers:
    def test_they_are_the_librarys_own(self, kind: str, photo: Image.Image) -> None:
        asked = small(kind)
        rec = vitviz.prompt(asked.clip, photo, PROMPTS)
        with torch.no_grad():
            logits = asked.logits(rec.pixels[None], PROMPTS)[0]
            image, texts = asked.features(rec.pixels[None], PROMPTS)
        torch.testing.assert_close(rec.logits, logits, atol=1e-4, rtol=1e-5)
        is_sigmoid = "sigmoid" in kind or kind == "Siglip"
        assert rec.outputs == ("sigmoid" if is_sigmoid else "softmax")
        wanted = logits.sigmoid() if is_sigmoid else logits.softmax(dim=-1)
        found = {each.label: each.probability for each in rec.predictions}
        assert found == pytest.approx(dict(zip(PROMPTS, wanted.tolist(), strict=True)), rel=1e-3)
        near = F.cosine_similarity(image, texts).tolist()
        assert vitviz.cosines(rec) == pytest.approx(dict(zip(PROMPTS, near, strict=True)), abs=1e-4)
        assert max(near) - min(near) > 0.01  # the prompts differ at all

    def test_every_method_explains_a_prompt(self, kind: str, photo: Image.Image) -> None:
        rec = vitviz.prompt(small(kind).clip, photo, PROMPTS)
        assert (rec.is_plain, rec.grid) == (True, (4, 4))
        for method in ("gradient_rollout", "relevance", "transition", "legrad"):
            one, other = (vitviz.explain(rec, method, target=prompt) for prompt in PROMPTS[:2])
            assert one.made_from.target_label == "a cat"
            assert (one.values != other.values).any()
        for method in ("gradcam", "occlusion"):  # what they find may be nothing
            assert vitviz.explain(rec, method, target="a cat").values.shape == (4, 4)

    def test_many_photos_are_asked_at_once(self, kind: str, photo: Image.Image) -> None:
        vit = small(kind).clip.zero_shot(PROMPTS)
        photos = [photo, photo.rotate(180)]
        for given, rec in zip(photos, vitviz.record_many(vit, photos, batch_size=2), strict=True):
            alone = vitviz.record(vit, given)
            torch.testing.assert_close(rec.logits, alone.logits, atol=1e-4, rtol=1e-5)

    def test_the_model_stays_as_it_was(self, kind: str, photo: Image.Image) -> None:
        module = small(kind).clip.module
        before = weights_hash(module)
        one, other = (vitviz.prompt(small(kind).clip, photo, words) for words in (["a"], ["of"]))
        assert weights_hash(module) == before
        assert all(parameter.grad is None for parameter in module.parameters())
        maps = [vitviz.explain(rec, "attention").made_from for rec in (one, other)]
        assert maps[0].weights != maps[1].weights  # one classifier is not the other


def relevance_of(maps: list[Tensor], score: Tensor) -> Tensor:
    """R ← R + E_h[(∇A ⊙ A)⁺] R with whole matrices: the class token's row, of the patches."""
    found = torch.autograd.grad(score, maps, retain_graph=True)
    joint = torch.eye(maps[0].shape[-1])
    for attention, gradient in zip(maps, found, strict=True):
        joint = joint + (attention * gradient)[0].clamp(min=0).mean(dim=0) @ joint
    return joint[0, 1:].detach()


@pytest.fixture(scope="module")
def rec(photo: Image.Image) -> vitviz.Recording:
    return vitviz.prompt(small("CLIP").clip, photo, PROMPTS)


@pytest.fixture(scope="module")
def own(rec: vitviz.Recording) -> dict[str, Any]:
    module = small("CLIP").clip.module
    module.set_attn_implementation("eager")
    found = module.vision_model(
        rec.pixels[None].clone().requires_grad_(),
        output_attentions=True,
        output_hidden_states=True,
    )
    module.set_attn_implementation("sdpa")
    with torch.no_grad():
        _, texts = small("CLIP").features(rec.pixels[None], PROMPTS)
    return {"module": module, "texts": F.normalize(texts), "found": found}


class TestGradients:
    """The maps and states of transformers' own forward pass, and plain autograd from there."""

    def scores(self, own: dict[str, Any], tokens: Tensor) -> Tensor:
        """Logits from tokens after a block."""
        module = own["module"]
        pooled = module.vision_model.post_layernorm(tokens[:, 0])
        vectors = F.normalize(module.visual_projection(pooled))
        return (module.logit_scale.exp() * vectors @ own["texts"].T)[0]

    @pytest.mark.parametrize("prompt", PROMPTS)
    def test_relevance(self, prompt: str, rec: vitviz.Recording, own: dict[str, Any]) -> None:
        logits = self.scores(own, own["found"].last_hidden_state)
        torch.testing.assert_close(rec.logits, logits, atol=1e-4, rtol=1e-5)
        wanted = relevance_of(list(own["found"].attentions), logits[PROMPTS.index(prompt)])
        found = torch.tensor(vitviz.explain(rec, "relevance", target=prompt).values)
        torch.testing.assert_close(found, wanted.view(4, 4), atol=1e-5, rtol=1e-3)

    def test_one_prompt_rather_than_another(
        self, rec: vitviz.Recording, own: dict[str, Any]
    ) -> None:
        logits = self.scores(own, own["found"].last_hidden_state)
        wanted = relevance_of(list(own["found"].attentions), logits[0] - logits[1])
        heat = vitviz.explain(rec, "relevance", target="a cat", versus="a photo of a cup")
        torch.testing.assert_close(
            torch.tensor(heat.values), wanted.view(4, 4), atol=1e-5, rtol=1e-3
        )

    def test_legrad(self, rec: vitviz.Recording, own: dict[str, Any]) -> None:
        """Each layer's own similarity, by its own attention."""
        wanted = torch.zeros(16)
        for attention, tokens in zip(
            own["found"].attentions, own["found"].hidden_states[1:], strict=True
        ):
            score = self.scores(own, tokens)[1]
            [gradient] = torch.autograd.grad(score, attention, retain_graph=True)
            wanted += gradient[0].clamp(min=0).mean(dim=(0, 1))[1:] / rec.num_layers
        found = torch.tensor(vitviz.explain(rec, "legrad", target=1).values)
        torch.testing.assert_close(found, wanted.view(4, 4), atol=1e-6, rtol=1e-3)


def test_where_the_patches_lie_is_asked_once(
    photo: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[nn.Module] = []
    monkeypatch.setattr(layers, "in_place", lambda module, *_: asked.append(module) or [True])
    clip = from_clip(small("open_clip").clip.module, TOKENIZER, TRANSFORM)
    for prompts in (PROMPTS, PROMPTS[:2]):
        assert vitviz.prompt(clip, photo, prompts).is_plain
    assert len(asked) == 1


def test_relevance_of_siglip_starts_from_its_pooling_head(photo: Image.Image) -> None:
    """The head's own map, mean of its heads, and whole matrices of the layers below."""
    rec, module = vitviz.prompt(small("Siglip").clip, photo, PROMPTS), small("Siglip").clip.module
    vision = module.vision_model
    module.set_attn_implementation("eager")
    found = vision(rec.pixels[None].clone().requires_grad_(), output_attentions=True)
    module.set_attn_implementation("sdpa")
    with torch.no_grad():
        _, texts = small("Siglip").features(rec.pixels[None], PROMPTS)
        tokens = found.last_hidden_state
        _, read = vision.head.attention(vision.head.probe, tokens, tokens)
    score = module.logit_scale.exp() * F.normalize(found.pooler_output) @ F.normalize(texts)[1]
    maps = list(found.attentions)
    joint = torch.eye(16)
    for attention, gradient in zip(maps, torch.autograd.grad(score[0], maps), strict=True):
        joint = joint + (attention * gradient)[0].clamp(min=0).mean(dim=0) @ joint
    wanted = (read[0, 0] @ joint).detach()
    heat = vitviz.explain(rec, "relevance", target=1)
    torch.testing.assert_close(torch.tensor(heat.values), wanted.view(4, 4), atol=1e-5, rtol=1e-3)


def test_relevance_starts_from_what_is_read(photo: Image.Image) -> None:
    """A tower with a class token that gives the mean of its patches."""
    rec = vitviz.prompt(small("open_clip, mean").clip, photo, PROMPTS)
    weights = rec.score_weights("cls")
    assert weights[0] == 0
    assert torch.equal(weights[1:], torch.full((16,), 1 / 16))


class TestPreprocessing:
    def test_transformers_processor(self, photo: Image.Image) -> None:
        rec = vitviz.prompt(small("CLIP").clip, photo, PROMPTS)
        processor = small("CLIP").clip.vit.transform.inner
        wanted = processor(photo, return_tensors="pt")["pixel_values"][0]
        assert torch.equal(rec.pixels, wanted)
        assert rec.box == pytest.approx((10, 0, 80, 70), abs=1.5)

    def test_open_clips_transform(self, photo: Image.Image) -> None:
        rec = vitviz.prompt(small("open_clip").clip, photo, PROMPTS)
        assert torch.equal(rec.pixels, TRANSFORM(photo))


class TestOnePrompt:
    def test_alone_it_is_a_score(self, photo: Image.Image) -> None:
        """A softmax over one would be 1 of any photo."""
        rec = vitviz.prompt(small("open_clip").clip, photo, ["a cat"])
        [only] = rec.predictions
        assert (rec.outputs, only.probability) == ("score", None)
        scale = float(small("open_clip").clip.module.logit_scale.detach().exp())
        assert only.value == pytest.approx(scale * vitviz.cosines(rec)["a cat"], rel=1e-5)
        assert vitviz.explain(rec, "relevance").values.any()

    def test_siglip_judges_each_alone(self, photo: Image.Image) -> None:
        clip = small("Siglip").clip
        [alone] = vitviz.prompt(clip, photo, ["a cat"]).predictions
        among = vitviz.prompt(clip, photo, PROMPTS).predictions
        assert alone.probability == pytest.approx(
            next(each.probability for each in among if each.label == "a cat"), rel=1e-4
        )


class TestLongTexts:
    @pytest.mark.parametrize("kind", ["open_clip", "CLIP", "Siglip"])
    def test_what_would_be_cut_is_refused(self, kind: str) -> None:
        clip, fits = small(kind).clip, "cat " * (LONGEST - 2)
        assert clip.text_features(["a cup", fits]).shape[0] == 2
        with pytest.raises(vitviz.VitvizError, match="at most 8 tokens") as met:
            clip.text_features(["a cup", f"{fits} cup"])
        assert met.value.values["prompt"] == f"{fits} cup"

    def test_open_clips_own_way_to_ask_a_tokenizer_of_transformers(self, tmp_path: Path) -> None:
        hf_tokenizer().save_pretrained(tmp_path)
        tokenizer = HFTokenizer(str(tmp_path), context_length=LONGEST)
        module = small("open_clip").clip.module
        clip = from_clip(module, tokenizer, TRANSFORM)
        with torch.no_grad():
            wanted = module.encode_text(tokenizer(PROMPTS), normalize=True)
        torch.testing.assert_close(clip.text_features(PROMPTS), wanted)
        with pytest.raises(vitviz.VitvizError, match="at most 8 tokens"):
            clip.text_features(["cat " * LONGEST])

    def test_a_tokenizer_of_ones_own_is_taken_at_its_word(self) -> None:
        own = from_clip(small("open_clip").clip.module, lambda texts: TOKENIZER(texts), TRANSFORM)
        wanted = small("open_clip").clip.text_features(PROMPTS)
        assert torch.equal(own.text_features(PROMPTS), wanted)


class TestRefused:
    @pytest.mark.parametrize(
        "module", [timm.create_model("test_vit"), nn.Linear(2, 2), open_clip.CLIP, "ViT-B-32"]
    )
    def test_what_is_no_such_model(self, module: Any) -> None:
        with pytest.raises(vitviz.ModelError, match=r"does not put photos beside texts"):
            from_clip(module, TOKENIZER, TRANSFORM)

    def test_no_transform(self) -> None:
        with pytest.raises(vitviz.ModelError, match="pass transform="):
            from_clip(small("open_clip").clip.module, TOKENIZER)

    @pytest.mark.parametrize(("kind", "other"), [("open_clip", "CLIP"), ("CLIP", "open_clip")])
    def test_another_models_tokenizer(self, kind: str, other: str) -> None:
        clip = from_clip(small(kind).clip.module, small(other).clip.tokenizer, TRANSFORM)
        with pytest.raises(vitviz.ModelError, match="give the model’s own"):
            clip.zero_shot(["a cat"])

    def test_no_prompts(self, photo: Image.Image) -> None:
        with pytest.raises(vitviz.VitvizError, match="one text at least"):
            vitviz.prompt(small("CLIP").clip, photo, [])
        with pytest.raises(vitviz.VitvizError, match="must be a list of text, not str"):
            vitviz.prompt(small("CLIP").clip, photo, "a cat")
        with pytest.raises(vitviz.VitvizError, match="must be a list of text, not str"):
            small("CLIP").clip.zero_shot("a cat")

    def test_the_bare_model(self, photo: Image.Image) -> None:
        with pytest.raises(vitviz.VitvizError, match="must be Clip, not CLIPModel"):
            vitviz.prompt(small("CLIP").clip.module, photo, PROMPTS)

    def test_a_recording_without_prompts(self, photo: Image.Image) -> None:
        rec = vitviz.record(vitviz.from_module(random_module("vit")), photo)
        with pytest.raises(vitviz.MethodError, match=r"vitviz\.prompt"):
            vitviz.cosines(rec)

    def test_a_prompt_that_was_not_asked(self, photo: Image.Image) -> None:
        rec = vitviz.prompt(small("CLIP").clip, photo, PROMPTS)
        with pytest.raises(vitviz.MethodError, match="did you mean “a cat”"):
            vitviz.explain(rec, "relevance", target="a bat")

    def test_a_convolutional_tower(self, photo: Image.Image) -> None:
        vision = {"layers": [1, 1, 1, 1], "width": 16, "image_size": 64, "head_width": 16}
        text = {"context_length": LONGEST, "width": 32, "heads": 2, "layers": 1}
        module = shaken(open_clip.CLIP(32, vision, text))
        clip = from_clip(module, TOKENIZER, TRANSFORM)
        assert clip.zero_shot(PROMPTS).labels == tuple(PROMPTS)
        with pytest.raises(vitviz.ModelError):
            vitviz.prompt(clip, photo, PROMPTS)


def test_the_residual_stream_of_open_clips_blocks(photo: Image.Image) -> None:
    """Whose attention gives a pair; what the classifier reads of it is not timm's to say."""
    rec = vitviz.prompt(small("open_clip").clip, photo, PROMPTS)
    stream = residual_stream(rec)
    added = stream.states[0] + (stream.attention + stream.mlp).sum(dim=0)
    torch.testing.assert_close(added, stream.states[-1], atol=1e-4, rtol=1e-4)
    assert stream.attention.abs().max() > 0.1


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_of_it(kind: str, photo: Image.Image, tmp_path: Path) -> None:
    rec = vitviz.prompt(small(kind).clip, photo, PROMPTS)
    vitviz.write_page(rec, tmp_path / "asked.html", [vitviz.explain(rec, "legrad")])
    assert PROMPTS[1] in (tmp_path / "asked.html").read_text()


def test_the_logit_lens_does_not_take_a_towers_head(photo: Image.Image) -> None:
    """timm's tower has one, and it is not the one that knows the prompts."""
    rec = vitviz.prompt(small("open_clip, timm, sigmoid").clip, photo, PROMPTS)
    with pytest.raises(vitviz.ModelError, match="no classifier"):
        logit_lens(rec, residual_stream(rec))


@pytest.mark.parametrize("kind", ["open_clip", "CLIP"])
def test_a_model_on_another_device(kind: str, photo: Image.Image) -> None:
    asked = small(kind).clip
    here = vitviz.prompt(asked, photo, PROMPTS)
    with other_device():
        module = copy.deepcopy(asked.module).to(OTHER)
        clip = from_clip(module, asked.tokenizer, asked.vit.transform)
        rec = vitviz.prompt(clip, photo, PROMPTS)
        assert rec.vit.device == OTHER
        heat = vitviz.explain(rec, "legrad", target="a cat")
    torch.testing.assert_close(rec.logits, here.logits)
    wanted = vitviz.explain(here, "legrad", target="a cat")
    assert heat.values == pytest.approx(wanted.values, rel=1e-4)


def test_a_recording_in_a_file(photo: Image.Image, tmp_path: Path) -> None:
    rec = vitviz.prompt(small("open_clip").clip, photo, PROMPTS)
    rec.save(tmp_path / "asked.vitviz")
    again = vitviz.load_recording(tmp_path / "asked.vitviz", rec.vit)
    assert vitviz.cosines(again) == vitviz.cosines(rec)
