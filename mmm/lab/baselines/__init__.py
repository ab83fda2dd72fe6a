r"""Two other ways from text to motion, beside the masked transformer: autoregressive, and diffusion (chapter 09).

    python -m mmm.lab.baselines train autoregressive --data DIR --model MODEL --out runs/autoregressive
    python -m mmm.lab.baselines train diffusion --data DIR --model MODEL --out runs/diffusion
    python -m mmm.lab.baselines evaluate --run runs/autoregressive --run runs/diffusion --data DIR --model MODEL \
        --out runs/baselines

MODEL gives the masked transformer that they are compared with, its tokenizer, its sizes and its text encoder.
"""
