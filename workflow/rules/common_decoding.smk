"""What the rules of decoding share: files of a dictionary, and the figure that is asked for."""

# Vectors of a dictionary and of captions, of models that give sentences any.
DICTIONARY = {
    name: f"results/decoding/{{model}}/{file}"
    for name, file in {
        "vectors": "dictionary.nc",
        "sentences": "sentences.tsv",
        "of_captions": "captions.nc",
    }.items()
}


def dictionary_of(wildcards):
    """Files of the dictionary of a model whose features are vectors of sentences; nothing for others."""
    return DICTIONARY if STUDY.gives_sentences(wildcards.model) else {}


def dictionary_disk_mb(wildcards):
    """Vectors of the sentences of a dictionary, in the study and in the cache, and the sentences."""
    n_sentences = n_dictionary_sentences(STUDY)
    return 50 + int(2.4 * features_mb(n_sentences)) + n_sentences // 4000


def figure_of_decoding(wildcards):
    """Files of the figure of the first decoding model, when they are asked for."""
    if not STUDY.decoding_models:
        raise WorkflowError(
            "the study decodes no model: see the config keys decoding: models, shared_image_sets and roi_space"
        )
    return expand(rules.plot_decoding.output, model=STUDY.decoding_models[:1])
