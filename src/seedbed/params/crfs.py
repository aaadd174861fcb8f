"""Parameters of dense CRFs: the section `crf`."""

from seedbed.settings.dense_crf import CrfSettings

Crf = CrfSettings
