# A session's image of this checkout, as repo2docker lays one out: accounts, the repository in the user's
# home, binder/start before everything. What pip and apt would bring is this host's own, mounted when
# it runs: installing it once more takes minutes. (tests/packaging installs the wheel in a clean place.)
FROM scratch
ARG NB_UID=1000
COPY --from=host . /
COPY --chown=$NB_UID:$NB_UID binder /srv/jovyan/binder
COPY --chown=$NB_UID:$NB_UID notebooks/en/*.ipynb /srv/jovyan/notebooks/en/
WORKDIR /srv/jovyan
USER $NB_UID
ENTRYPOINT ["/srv/jovyan/binder/start"]
