# SPDX-License-Identifier: MIT
"""Which configurations of which schedulers are recorded (record_noise.py --steps)."""

import inspect
from itertools import product

SCALED_LINEAR = dict(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
BASE = dict(num_train_timesteps=1000, **SCALED_LINEAR)
SPACINGS = ("leading", "trailing", "linspace")
PREDICTIONS = ("epsilon", "v_prediction", "sample")
SIGMAS = (
    "use_karras_sigmas",
    "use_exponential_sigmas",
    "use_beta_sigmas",
    "use_lu_lambdas",
    "use_flow_sigmas",
)
ZERO_SNR = dict(rescale_betas_zero_snr=True)
LEAST = dict(final_sigmas_type="sigma_min")
THRESHOLD = dict(thresholding=True, sample_max_value=1.5)

# Settings of a class that every case has.
ALWAYS = {
    "ddim": dict(clip_sample=False),
    "ddpm": dict(clip_sample=False),
    "pndm": dict(skip_prk_steps=True),
}

# Settings that are combined with every prediction type, spacing and set of sigmas; "eta" and
# "steps" stand for the argument of step() and the number of steps.
CROSSED = {
    "ddim": [
        {},
        ZERO_SNR,
        THRESHOLD,
        dict(clip_sample=True),
        dict(set_alpha_to_one=False),
        dict(eta=0.5),
        dict(eta=1.0, clip_sample=True),
        dict(eta=0.5, **THRESHOLD),
        dict(eta=0.5, **ZERO_SNR),
    ],
    "pndm": [{}, dict(set_alpha_to_one=True), dict(skip_prk_steps=False)],
    "ddpm": [
        dict(variance_type=kind, **more)
        for kind in (
            "fixed_small",
            "fixed_small_log",
            "fixed_large",
            "fixed_large_log",
            "learned",
            "learned_range",
        )
        for more in ({}, dict(clip_sample=True), THRESHOLD, ZERO_SNR)
    ],
    "euler": [
        {},
        ZERO_SNR,
        LEAST,
        dict(interpolation_type="log_linear"),
        dict(timestep_type="continuous"),
        dict(sigma_min=0.1, sigma_max=10.0),
    ],
    "euler-ancestral": [{}, ZERO_SNR],
    "heun": [{}, dict(clip_sample=True), dict(clip_sample=True, clip_sample_range=2.5)],
    "dpm++-2m": [
        {},
        dict(solver_order=1),
        dict(solver_order=3),
        dict(solver_type="heun"),
        LEAST,
        dict(lower_order_final=False),
        dict(euler_at_final=True),
        THRESHOLD,
        ZERO_SNR,
        dict(algorithm_type="dpmsolver", **LEAST),
        dict(algorithm_type="dpmsolver", solver_order=3, **LEAST),
        dict(algorithm_type="sde-dpmsolver++"),
        dict(algorithm_type="sde-dpmsolver++", solver_type="heun"),
        dict(algorithm_type="sde-dpmsolver++", solver_order=3),
        dict(algorithm_type="sde-dpmsolver", **LEAST),
    ],
    "dpm++-2s": [
        {},
        dict(solver_order=1),
        dict(solver_order=3),
        dict(solver_type="heun"),
        dict(solver_order=3, solver_type="heun"),
        LEAST,
        dict(lower_order_final=True),
        dict(lower_order_final=True, solver_order=3),
        THRESHOLD,
        dict(algorithm_type="dpmsolver", **LEAST),
        dict(algorithm_type="dpmsolver", solver_order=3, **LEAST),
        dict(algorithm_type="sde-dpmsolver++"),
        dict(algorithm_type="sde-dpmsolver++", solver_type="heun"),
        dict(algorithm_type="sde-dpmsolver++", solver_order=3),
    ],
    "unipc": [
        {},
        dict(solver_order=1),
        dict(solver_order=3),
        dict(solver_type="bh1"),
        dict(solver_type="bh1", **LEAST),
        dict(predict_x0=False, **LEAST),
        dict(disable_corrector=[0, 2]),
        dict(lower_order_final=False),
        LEAST,
        THRESHOLD,
        ZERO_SNR,
    ],
    "deis": [
        {},
        dict(solver_order=1),
        dict(solver_order=3),
        dict(lower_order_final=False),
        THRESHOLD,
    ],
    "lcm": [
        {},
        ZERO_SNR,
        THRESHOLD,
        dict(clip_sample=True),
        dict(set_alpha_to_one=False),
        dict(original_inference_steps=100),
        dict(timestep_scaling=1.0),
    ],
    "tcd": [
        dict(eta=eta, **more)
        for eta in (0.0, 0.3, 1.0)
        for more in (
            {},
            ZERO_SNR,
            THRESHOLD,
            dict(clip_sample=True),
            dict(set_alpha_to_one=False),
            dict(original_inference_steps=100),
        )
    ],
}

# Settings that are tried alone, in every class that has their keys.
ALONE = (
    [dict(steps=n) for n in (1, 2, 3, 4, 20, 50)]
    + [{key: True, "steps": n} for key in SIGMAS for n in (1, 2, 20)]
    + [dict(timestep_spacing="leading", steps_offset=k, steps=20) for k in (1, 3)]
    + [dict(beta_schedule=kind, steps=10) for kind in ("linear", "squaredcos_cap_v2")]
    + [
        dict(beta_schedule="squaredcos_cap_v2", use_karras_sigmas=True, steps=10),
        dict(beta_schedule="squaredcos_cap_v2", use_exponential_sigmas=True, steps=10),
        dict(beta_schedule="squaredcos_cap_v2", use_lu_lambdas=True, steps=10),
        dict(beta_schedule="squaredcos_cap_v2", lambda_min_clipped=-5.1, steps=10),
        dict(num_train_timesteps=50, steps=7),
        dict(num_train_timesteps=5, trained_betas=[0.01, 0.05, 0.1, 0.3, 0.5], steps=3),
        dict(use_karras_sigmas=True, use_exponential_sigmas=True),
        dict(use_beta_sigmas=True, use_exponential_sigmas=True),
        dict(use_flow_sigmas=True, flow_shift=3.0, prediction_type="flow_prediction"),
        dict(clip_sample=True, clip_sample_range=2.5, eta=0.5),
        dict(solver_order=1, steps=20),
        dict(solver_order=3, steps=20),
        dict(solver_order=4),
        dict(algorithm_type="sde-dpmsolver++", steps=20),
        dict(prediction_type="flow_prediction"),
        dict(use_dynamic_shifting=True),
        dict(
            use_dynamic_shifting=True,
            use_flow_sigmas=True,
            flow_shift=3.0,
            prediction_type="flow_prediction",
        ),
        dict(variance_type=None),
        dict(variance_type="fixed_small"),
        dict(variance_type="learned", prediction_type="v_prediction"),
    ]
)


def parameters(cls):
    return inspect.signature(cls.__init__).parameters


def name_of(options, steps, eta):
    words = []
    for key, value in options.items():
        plain = isinstance(value, str) or value is True
        words.append(
            (value if isinstance(value, str) else key.removeprefix("use_"))
            if plain
            else f"{key}={str(value).replace(' ', '')}"
        )
    return "/".join(words + ([f"eta={eta}"] if eta else []) + [f"n={steps}"])


def step_cases(kind, cls):
    """Yield (name, options over BASE, steps, eta), each name once."""
    known, seen = parameters(cls), set()

    def case(settings):
        steps, eta = settings.pop("steps", 5), settings.pop("eta", 0.0)
        options = dict(ALWAYS.get(kind, {}), **settings)
        return name_of(options, steps, eta), options, steps, eta

    spacings = [dict(timestep_spacing=s) for s in SPACINGS]
    sigmas = [{}] + [{key: True} for key in SIGMAS if key in known]
    crossed = [
        dict(prediction_type=prediction, **spacing, **sigma, **more)
        for prediction, spacing, sigma, more in product(
            PREDICTIONS,
            spacings if "timestep_spacing" in known else [{}],
            sigmas,
            CROSSED.get(kind, [{}]),
        )
    ]
    alone = [s for s in ALONE if all(key in known for key in s if key not in ("steps", "eta"))]
    if "eta" not in inspect.signature(cls.step).parameters:
        alone = [s for s in alone if "eta" not in s]
    for settings in crossed + alone:
        found = case(dict(settings))
        if found[0] not in seen:
            seen.add(found[0])
            yield found


# The classes whose sets of sigmas lie between the ends of the spaced ones.
BETWEEN_ENDS = ("lms", "euler", "heun", "kdpm2", "kdpm2-ancestral")


def timestep_cases(kind, cls):
    """Yield the options over BASE whose timesteps are recorded for every number of steps: every
    spacing and every set of sigmas, with every spacing where the set depends on it."""
    known = parameters(cls)
    spacings = [{}]
    if "timestep_spacing" in known:
        spacings = [dict(timestep_spacing=s) for s in SPACINGS]
        spacings += [dict(timestep_spacing="leading", steps_offset=1)]
    sets = [{key: True} for key in SIGMAS if key in known]
    for options in spacings + [
        dict(chosen, **spacing)
        for chosen in sets
        for spacing in (spacings if kind in BETWEEN_ENDS else [{}])
    ]:
        yield dict(ALWAYS.get(kind, {}), **options)
    if kind == "pndm":
        yield dict(skip_prk_steps=False)
