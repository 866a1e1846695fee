"""The promise on one seed: speech through half of the packets lost, on both hops, both ways, random, 40 ms a hop."""

from __future__ import annotations

import numpy as np
from voice import speech

from bench.audio.baselines import codec_alone
from bench.audio.call import hear
from bench.audio.rows import named
from bench.audio.score import measure_delays, retimed
from bench.audio.speech import RATE

SECONDS = 12.0
GRAIN = 960


def test_half_of_the_packets_lost_at_each_hop_is_not_heard() -> None:
    said = speech(SECONDS)
    row = named("50r40")[0]
    limits = {bar.figure: bar.limit for bar in row.bars}
    heard = hear(said, row.network, seed=1)
    assert heard.concealed_share <= limits["concealed"]
    assert heard.notes["lost_path"] == 0
    # Nothing in it is above 4 kHz, so every third sample will do.
    clean = codec_alone(said)[said.start : said.start + len(said.scored)][::3]
    pcm = heard.pcm[said.start :][::3]
    delays = measure_delays(clean, pcm)
    assert len(delays) > 0.8 * SECONDS / 0.1
    assert np.percentile(delays, 95) <= limits["delay_p95"]
    back = retimed(clean, pcm, float(np.median(delays)))
    voiced = [at for at in range(0, len(clean) - GRAIN, GRAIN) if np.std(clean[at : at + GRAIN]) > 0.02]
    alike = [np.corrcoef(clean[at : at + GRAIN], back[at : at + GRAIN])[0, 1] for at in voiced]
    assert len(alike) > 0.3 * SECONDS * RATE / 3 / GRAIN
    assert np.mean(np.array(alike) > 0.8) > 0.85
    assert heard.kbits_up < 1500
