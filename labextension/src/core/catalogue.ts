/**
 * The service's sentences by their codes, and its reasons why something is not copied: made of
 * the rooms' `errors.py`, `plan.py` and `copying/reasons.py` by scripts/catalogues.py. Change them there.
 */

import { TranslationBundle } from '@jupyterlab/translation';

/** `p` reads a parameter as text, `n` one by which words are chosen. */
export type Sentences = (
  trans: TranslationBundle,
  p: (name: string) => string,
  n: (name: string) => number
) => [message: string, hint: string];

export const SENTENCES: Record<string, Sentences> = {
  account_missing: (trans, p) => [
    trans.__("There is no way to sign in to the cluster: %1.", p("reason")),
    trans.__("In a pod, set `serviceAccountName` to the account in the operators' guide and `automountServiceAccountToken: true`; elsewhere, name a kubeconfig (KubernetesEngine.kubeconfig).")
  ],
  already_sharing: (trans, p) => [
    trans.__("%1 is already being shared (%2).", p("name"), p("id")),
    trans.__("Wait for it, cancel it, or give this share another name.")
  ],
  bad_dockerfile: (trans, p) => [
    trans.__("The Dockerfile can't be used: %1 (line %2).", p("reason"), p("line")),
    trans.__("Correct line %1 of the Dockerfile and check again.", p("line"))
  ],
  base_image_missing: (trans, p) => [
    trans.__("The image %1, which the Dockerfile starts FROM, can't be found or pulled.", p("image")),
    trans.__("Check its name and that this machine reaches its registry, or load it with `docker load`.")
  ],
  base_not_here: (trans, p) => [
    trans.__("The image %1, which the Dockerfile starts FROM, is not on %2 yet and will be pulled.", p("image"), p("node")),
    ''
  ],
  base_trigger_failed: (trans, p) => [
    trans.__("The image build failed at an instruction of the base image %1 (ONBUILD): %2", p("image"), p("instruction")),
    trans.__("The failing instruction is in the base image, not in your Dockerfile. Provide what it needs, which the end of the log shows, or start FROM another image, and retry.")
  ],
  build_failed: (trans, p) => [
    trans.__("The image build failed at line %1 of the Dockerfile: %2", p("line"), p("instruction")),
    trans.__("Read the last lines of the log, correct line %1, and retry.", p("line"))
  ],
  build_needs_git: (trans, p) => [
    trans.__("%1 asks for %2, which takes the version from .git; the build is not sent .git.", p("file"), p("tool")),
    trans.__("Give the version in the Dockerfile, for instance with ENV SETUPTOOLS_SCM_PRETEND_VERSION=1.0.")
  ],
  builder_missing: (trans, p) => [
    trans.__("No image builder is ready on %1.", p("node")),
    trans.__("Ask your admin to apply the builder from the operators' guide (namespace %1).", p("namespace"))
  ],
  cancelled: trans => [
    trans.__("The share was cancelled."),
    trans.__("Nothing is left behind; share again when you like.")
  ],
  certificates_unreadable: (trans, p) => [
    trans.__("The CA bundle %1 can't be read: %2.", p("path"), p("reason")),
    trans.__("Correct the setting DockerEngine.ca_bundle, or make the file readable.")
  ],
  changes_unknown: trans => [
    trans.__("Which files were changed since the commit is not known: git's index is split or sparse, which can't be read here."),
    trans.__("Run `git update-index --no-split-index`, or `git sparse-checkout reapply --no-sparse-index`.")
  ],
  claim_unusable: (trans, p) => [
    trans.__("The volume claim %1 can't be copied: %2.", p("claim"), p("reason")),
    trans.__("Move the files to a folder on another claim, or ask your admin (KubernetesEngine.storage_classes chooses the class of copies).")
  ],
  cluster_forbidden: (trans, p) => [
    trans.__("The cluster does not let this account %1: %2.", p("action"), p("reason")),
    trans.__("Ask your admin for the Role in the operators' guide; `jupyter secxops doctor` names what is missing.")
  ],
  cluster_refused: (trans, p) => [
    trans.__("The cluster refused to %1: %2.", p("action"), p("reason")),
    trans.__("Show your admin this message; nothing was changed.")
  ],
  cluster_unavailable: (trans, p) => [
    trans.__("The cluster's API server does not answer at %1: %2.", p("endpoint"), p("reason")),
    trans.__("Check the kubeconfig (`kubectl get pods`) and the network, then retry.")
  ],
  copy_failed: (trans, p) => [
    trans.__("Copying %1 failed: %2.", p("path"), p("reason")),
    trans.__("Correct the cause and retry; the source was not changed.")
  ],
  cpu_overcommitted: (trans, p, n) => [
    trans._n("The share asks for %2 CPU; %3 has %4 free, so the environments will share CPU time and be slower.", "The share asks for %2 CPUs; %3 has %4 free, so the environments will share CPU time and be slower.", n("asked"), p("asked"), p("node"), p("free")),
    trans.__("Ask for less CPU or stop something there.")
  ],
  cpu_short: (trans, p, n) => [
    trans._n("The share asks for %2 CPU; %3 has %4.", "The share asks for %2 CPUs; %3 has %4.", n("asked"), p("asked"), p("node"), p("total")),
    trans.__("Ask for at most %1.", p("total"))
  ],
  cpu_too_little: (trans, p) => [
    trans.__("%1 of a CPU is too little for an environment.", p("asked")),
    trans.__("Ask for at least %1.", p("least"))
  ],
  credentials_kept: (trans, p) => [
    trans.__("Copied as you asked, although they may hold credentials: %1, for example %2.", p("count"), p("first")),
    ''
  ],
  credentials_left_out: (trans, p) => [
    trans.__("Left out because they may hold credentials: %1, for example %2.", p("count"), p("first")),
    trans.__("Take a file along all the same with Keep.")
  ],
  data_moves: (trans, p) => [
    trans.__("%1 lies inside the project and will be at %2.", p("source"), p("mount")),
    trans.__("Code that looks for it in the project will not find it there.")
  ],
  database_in_use: (trans, p) => [
    trans.__("A program seems to be writing to databases here (%1, such as %2): their files are copied one after the other, so the copy of one may not open, or may lack what was written last.", p("count"), p("first")),
    trans.__("Stop that program first, or share a dump of the database.")
  ],
  defaults_used: (trans, p, n) => [
    trans._n("%2 CPU and %3 of memory (the defaults).", "%2 CPUs and %3 of memory (the defaults).", n("cpu"), p("cpu"), p("memory")),
    ''
  ],
  disk_full: (trans, p) => [
    trans.__("The disk became full during the %1.", p("step")),
    trans.__("Delete old shares or free disk there, and retry.")
  ],
  disk_short: (trans, p) => [
    trans.__("%1 has %2 of disk free; the copy needs about %3.", p("node"), p("free"), p("needed")),
    trans.__("Leave out data, delete old shares, or free disk there.")
  ],
  docker_config_unusable: (trans, p) => [
    trans.__("The Docker configuration %1 can't be used: %2.", p("path"), p("reason")),
    trans.__("Correct that file, or move it away and sign in again with `docker login`.")
  ],
  dockerfile_elsewhere: (trans, p) => [
    trans.__("%1 has no Dockerfile at its top, but there is %2.", p("project"), p("first")),
    trans.__("Share with it, or write one at the top. Its COPY lines start at the project's folder.")
  ],
  dockerfile_needs_buildkit: (trans, p) => [
    trans.__("Line %1 of the Dockerfile (%2) needs BuildKit, or a newer one than this engine has.", p("line"), p("instruction")),
    trans.__("Rewrite line %1 without %2, or ask your admin for a newer Docker Engine.", p("line"), p("feature"))
  ],
  engine_failed: (trans, p) => [
    trans.__("The container engine could not %1: %2.", p("action"), p("reason")),
    trans.__("Run `jupyter secxops doctor`, then retry.")
  ],
  engine_forbidden: (trans, p) => [
    trans.__("Your account may not use the container engine at %1.", p("endpoint")),
    trans.__("Ask your admin to add you to the group that owns it (`sudo usermod -aG docker $USER`, then sign in again). Whoever may use it is root on this machine.")
  ],
  engine_unavailable: (trans, p) => [
    trans.__("No container engine answers at %1.", p("endpoint")),
    trans.__("Start Docker (`sudo systemctl start docker`), or set DOCKER_HOST to where it listens.")
  ],
  engine_unknown: (trans, p) => [
    trans.__("There is no engine %1; installed are %2.", p("engine"), p("known")),
    trans.__("Correct SecxopsService.engine (or SECXOPS_ENGINE), or install the package with that engine.")
  ],
  estimate: (trans, p) => [
    trans.__("It will take about %1, most of it the first build.", p("duration")),
    ''
  ],
  estimate_measured: (trans, p) => [
    trans.__("It will take about %1, as earlier shares of this project did.", p("duration")),
    ''
  ],
  file_changing: (trans, p, n) => [
    trans._n("%2 file under %3 kept changing during the copy; the first is %4.", "%2 files under %3 kept changing during the copy; the first is %4.", n("count"), p("count"), p("path"), p("first")),
    trans.__("Stop what writes to them (a running notebook?) and retry.")
  ],
  file_unreadable: (trans, p, n) => [
    trans._n("%2 file under %3 can't be read; the first is %4.", "%2 files under %3 can't be read; the first is %4.", n("count"), p("count"), p("path"), p("first")),
    trans.__("Make them readable for yourself, or move them out of the project, and retry.")
  ],
  files_hidden: (trans, p, n) => [
    trans._n("%2 file or folder of %3 can't be seen inside the environment; the first is %4 (%5).", "%2 files and folders of %3 can't be seen inside the environment; the first is %4 (%5).", n("count"), p("count"), p("path"), p("first"), p("reason")),
    trans.__("Change the image so that no VOLUME line and no start-up script hides or removes them, or mount the folder elsewhere, and retry.")
  ],
  files_lost: (trans, p, n) => [
    trans._n("%2 file of %3 that the plan lists as copied did not arrive; the first is %4 (%5).", "%2 files of %3 that the plan lists as copied did not arrive; the first is %4 (%5).", n("count"), p("count"), p("path"), p("first"), p("reason")),
    trans.__("Check the share again to see the plan as it is now, then retry.")
  ],
  files_unreadable_inside: (trans, p, n) => [
    trans._n("%2 file or folder of %3 can't be read inside the environment by its user (%4); the first is %5.", "%2 files and folders of %3 can't be read inside the environment by its user (%4); the first is %5.", n("count"), p("count"), p("path"), p("user"), p("first")),
    trans.__("Let others read them at the source (`chmod -R o+rX`), or move them out, and retry.")
  ],
  filters_not_applied: (trans, p) => [
    trans.__("%1 of this version's files, such as %2, are copied as git stores them: their filter, encoding or line ends (.gitattributes) are not applied.", p("count"), p("first")),
    trans.__("Set the filter up in the copy and check these files out again, or share the files as they are.")
  ],
  fits_here: (trans, p, n) => [
    trans._n("Here, on node %3: %2 CPU and %4 of memory are free.", "Here, on node %3: %2 CPUs and %4 of memory are free.", n("cpu"), p("cpu"), p("node"), p("memory")),
    ''
  ],
  forbidden: (trans, p) => [
    trans.__("You may not do this."),
    trans.__("Ask the admin of this Jupyter for the right to %1 environments.", p("action"))
  ],
  from_outside: (trans, p) => [
    trans.__("The source is %1, seen from outside.", p("source")),
    ''
  ],
  git_alternates: (trans, p) => [
    trans.__("Git will not work in the copy of these repositories (%1, such as %2): they borrow objects from elsewhere (clones with --shared or --reference), which are not copied.", p("count"), p("first")),
    trans.__("Make each independent: `git repack -a -d`, then remove its .git/objects/info/alternates.")
  ],
  git_elsewhere: (trans, p) => [
    trans.__("Git will not work in the copy of these folders (%1, such as %2): their .git only points elsewhere (a linked worktree, a submodule, a link).", p("count"), p("first")),
    trans.__("Share the main work tree, or a clone of it, if the copy should have the history.")
  ],
  git_unread: trans => [
    trans.__("The project's git repository can't be read here (SHA-256, a newer format, or settings that open other files): it is copied, but its commit and changes are not known."),
    ''
  ],
  gpu_asked: trans => [
    trans.__("It asks for a GPU, so the scheduler chooses the node."),
    ''
  ],
  gpu_missing: (trans, p, n) => [
    trans._n("The share asks for %2 GPU; %3 has %4 free.", "The share asks for %2 GPUs; %3 has %4 free.", n("asked"), p("asked"), p("node"), p("free")),
    trans.__("Share without a GPU, or ask your admin for a node with GPUs.")
  ],
  here_unseen: (trans, p) => [
    trans.__("Here, on node %1, if the scheduler agrees: its room can't be seen.", p("node")),
    ''
  ],
  idempotency_conflict: trans => [
    trans.__("This Idempotency-Key was used before for a different request."),
    trans.__("Use a new key for a new request.")
  ],
  image_and_code_differ: (trans, p, n) => [
    trans._n("%2 file changed between building the image and copying the code; the first is %3.", "%2 files changed between building the image and copying the code; the first is %3.", n("count"), p("count"), p("first")),
    trans.__("Stop what writes to them and retry.")
  ],
  image_holds_project: (trans, p, n) => [
    trans._n("Line %3 of the Dockerfile copies %2 file of the project (%4) into the image; the image should hold only the environment.", "Line %3 of the Dockerfile copies %2 files of the project (%4) into the image; the image should hold only the environment.", n("files"), p("files"), p("line"), p("size")),
    trans.__("Code and data are copied into volumes anyway: remove the COPY, or list the files in .dockerignore.")
  ],
  image_kept: (trans, p) => [
    trans.__("Its image stays on node %1 and is not pushed.", p("node")),
    ''
  ],
  image_mismatch: (trans, p) => [
    trans.__("The container runs image %1, not the one that was built (%2).", p("running"), p("built")),
    trans.__("Retry; if it happens again, tell your admin that something on %1 changes tags.", p("node"))
  ],
  image_needs_left_out: (trans, p) => [
    trans.__("Line %1 of the Dockerfile copies %2, which may hold credentials and is left out.", p("line"), p("path")),
    trans.__("Remove the line, or keep the file: it will be in the image then.")
  ],
  image_pushed: (trans, p) => [
    trans.__("Its image will be pushed to %1.", p("registry")),
    ''
  ],
  image_unpullable: (trans, p) => [
    trans.__("The node %1 can't pull %2: %3.", p("node"), p("image"), p("reason")),
    trans.__("Ask your admin to check the pull secret and that the nodes trust the registry.")
  ],
  image_user_unknown: (trans, p) => [
    trans.__("The image does not give its user as a number: %1.", p("reason")),
    trans.__("Write `USER 1000`, or any other number but 0, at the end of the Dockerfile, and retry.")
  ],
  image_volume_hides: (trans, p) => [
    trans.__("The image declares %1 as a VOLUME, which would hide %2 in the copy.", p("volume"), p("path")),
    trans.__("Take %1 along as data of its own if it is a folder of the project, mount %2 elsewhere, or remove the VOLUME from the image.", p("path"), p("folder"))
  ],
  image_without_jupyter: trans => [
    trans.__("The image was built, but JupyterLab is not in it."),
    trans.__("Add `RUN pip install jupyterlab` to the Dockerfile and retry.")
  ],
  internal: trans => [
    trans.__("Something went wrong inside the secxops service."),
    trans.__("Run `jupyter secxops doctor`; the service's log file (its path is shown there) has details.")
  ],
  invalid_request: (trans, p) => [
    trans.__("The request is not valid: %1.", p("reason")),
    trans.__("Correct it and try again.")
  ],
  keep_unused: (trans, p) => [
    trans.__("You asked to keep %1, but that changes nothing: there is no such path in what is shared, nothing there would be left out, or it can never be copied.", p("path")),
    trans.__("Give an absolute path, or one from the project's folder.")
  ],
  launch_failed: (trans, p) => [
    trans.__("The environment did not start: %1.", p("reason")),
    trans.__("Read the last lines of the log, correct the Dockerfile, and retry.")
  ],
  lfs_missing: (trans, p) => [
    trans.__("Git LFS content is not here for %1 of this version's files: only pointers are copied.", p("count")),
    trans.__("Run `git lfs fetch` for this version, and plan again.")
  ],
  links_dangle: (trans, p) => [
    trans.__("Links in %1 will lead nowhere in the copy (%2): %3 points to %4.", p("folder"), p("count"), p("first"), p("target")),
    ''
  ],
  links_leave_data: (trans, p) => [
    trans.__("Links in %1 point out of it and will lead nowhere in the copy (%2): %3 points to %4.", p("folder"), p("count"), p("first"), p("target")),
    trans.__("Take the folder that holds both instead: %1", p("around"))
  ],
  lock_abandoned: (trans, p) => [
    trans.__("The record of your shares is locked by process %1, which is not running here.", p("pid")),
    trans.__("Find out who still has the lock with `fuser -v %1` and end that process. If nobody here has it, end the service on the other machine or in the other container that uses this folder, or set SECXOPS_DATA_DIR to another folder.", p("lock"))
  ],
  memory_short: (trans, p) => [
    trans.__("The share asks for %1 of memory; %2 has %3 free.", p("asked"), p("node"), p("free")),
    trans.__("Ask for less memory, stop something there, or ask your admin for a larger node.")
  ],
  method_not_allowed: (trans, p) => [
    trans.__("This address does not take %1.", p("method")),
    trans.__("The answer's Allow header lists what it takes.")
  ],
  mount_inside: (trans, p) => [
    trans.__("%1 is a mount of its own inside %2: what lies there is not copied.", p("path"), p("folder")),
    trans.__("Add it as data to take it along.")
  ],
  moves: (trans, p, n) => [
    trans._n("It moves: it fits on %3 of %2 node, and the strategy %4 will probably put it on %5.", "It moves: it fits on %3 of %2 nodes, and the strategy %4 will probably put it on %5.", n("total"), p("total"), p("fitting"), p("strategy"), p("forecast")),
    ''
  ],
  moves_unseen: (trans, p) => [
    trans.__("It moves to a node that the scheduler chooses by the strategy %1.", p("strategy")),
    ''
  ],
  namespace_gone: (trans, p) => [
    trans.__("The cluster can't %1: %2.", p("action"), p("reason")),
    trans.__("Everything that shares had in that namespace is deleted with it. Share again in a namespace that stays.")
  ],
  no_dockerfile: (trans, p) => [
    trans.__("%1 has no %2 in this version, so there is no recipe for its environment.", p("project"), p("dockerfile")),
    trans.__("Write a file named %1 in %2, for example: FROM python:3.12-slim, then RUN pip install jupyterlab and your packages. Then check again.", p("dockerfile"), p("project"))
  ],
  no_node_fits: (trans, p) => [
    trans.__("No node can take the environment (%1 in the cluster). The closest is %2 (%3).", p("total"), p("node"), p("lacks")),
    trans.__("Ask for less, stop something there, or ask your admin for a larger node.")
  ],
  no_room_for_jobs: (trans, p) => [
    trans.__("The copy and the build have to run on node %1, beside the notebook, but do not fit there: %2.", p("node"), p("lacks")),
    trans.__("Stop something there, or ask your admin to make room or to have Jobs ask for less (KubernetesEngine.job_requests).")
  ],
  no_such_path: (trans, p) => [
    trans.__("%1 %2.", p("path"), p("problem")),
    trans.__("Check the path; relative paths start at the folder in which Jupyter was started.")
  ],
  no_such_route: trans => [
    trans.__("There is nothing at this address."),
    trans.__("The reference in the documentation lists the routes; `openapi.yaml` is beside them.")
  ],
  no_such_version: (trans, p) => [
    trans.__("The project has no version named %1.", p("version")),
    trans.__("Use a commit, tag or branch that `git log` shows here; nothing is fetched.")
  ],
  node_gone: (trans, p) => [
    trans.__("The source's node, %1, is no longer there.", p("node")),
    ''
  ],
  node_short: (trans, p) => [
    trans.__("It does not fit on node %1: %2.", p("node"), p("lacks")),
    ''
  ],
  node_unreachable: (trans, p) => [
    trans.__("The node %1 does not answer: %2.", p("node"), p("reason")),
    trans.__("Wait until it is ready again (`kubectl get nodes`) and retry, or tell your admin.")
  ],
  not_found: (trans, p) => [
    trans.__("You have no share %1.", p("id")),
    trans.__("It may have been deleted elsewhere; the list shows yours.")
  ],
  not_on_claim: (trans, p) => [
    trans.__("%1 lies on %2, which no other pod can mount.", p("path"), p("kind")),
    trans.__("Move it to a folder on a persistent volume claim (%1).", p("mounts"))
  ],
  on_container_layer: (trans, p) => [
    trans.__("%1 lies inside the container itself, not on a volume, so nothing else can reach it.", p("path")),
    trans.__("Move it to a mounted folder (%1), or start the container with a volume there.", p("mounts"))
  ],
  owners_given: (trans, p) => [
    trans.__("In %1, files of other accounts (%2, such as %3) will belong to the copy's user.", p("folder"), p("count"), p("first")),
    ''
  ],
  owners_kept: (trans, p) => [
    trans.__("In %1, the copy's user may not read or save files of other accounts (%2), such as %3.", p("folder"), p("count"), p("first")),
    trans.__("Untick \"Leave files of other accounts to their owners\" to give everything to the copy's user.")
  ],
  path_not_allowed: (trans, p) => [
    trans.__("%1 may not be copied: %2.", p("path"), p("reason")),
    trans.__("Choose a folder that belongs to the project or its data.")
  ],
  paths_inside: (trans, p) => [
    trans.__("Runs of MLflow name their results by their path here (%1, such as %2): they will not be found at another path.", p("count"), p("first")),
    trans.__("Have the folder at the same path in the copy, or track runs on a server.")
  ],
  pod_security: (trans, p) => [
    trans.__("The namespace's Pod Security does not let this account %1: %2.", p("action"), p("reason")),
    trans.__("Ask your admin to set the level that the operators' guide names for this namespace.")
  ],
  project_out_of_reach: (trans, p) => [
    trans.__("%1 is in %2. This service can't read its files there, and %3 can't build the image without them.", p("project"), p("source"), p("engine")),
    trans.__("Share it from inside %1, or ask your admin for an engine that builds images beside the project, as the one for Kubernetes does.", p("source"))
  ],
  quota_exceeded: (trans, p) => [
    trans.__("The namespace's quota leaves no room to %1: %2.", p("action"), p("reason")),
    trans.__("Delete old shares, or ask your admin for a larger quota.")
  ],
  registry_denied: (trans, p) => [
    trans.__("The registry %1 refuses the account of the secret %2: %3.", p("registry"), p("secret"), p("reason")),
    trans.__("Ask your admin to correct the user and password in that secret.")
  ],
  registry_failed: (trans, p) => [
    trans.__("The registry %1 could not %2: %3.", p("registry"), p("action"), p("reason")),
    trans.__("Retry; if it happens again, ask your admin about the registry and its quota.")
  ],
  registry_missing: (trans, p) => [
    trans.__("The environment can't run on node %1, and without a registry no other node can get its image.", p("node")),
    trans.__("Ask for no more than %1 has, or ask your admin to set a registry (Registries.named).", p("node"))
  ],
  remote_add: (trans, p) => [
    trans.__("Line %1 of the Dockerfile downloads %2 at build time; the copy's proof does not cover it.", p("line"), p("url")),
    trans.__("Put the file into the project, or fetch it in RUN with its checksum.")
  ],
  request_too_large: (trans, p) => [
    trans.__("The request is larger than %1.", p("size")),
    trans.__("Send only the documented fields.")
  ],
  secret_missing: (trans, p) => [
    trans.__("The %1 %2 of this namespace %3.", p("kind"), p("name"), p("problem")),
    trans.__("Ask your admin to create it, as described in the operators' guide (Kubernetes).")
  ],
  service_elsewhere: (trans, p) => [
    trans.__("The secxops service of another notebook, %1, is using the same record (%2).", p("host"), p("data")),
    trans.__("Wait until it ends, 15 minutes after its last use, or set SECXOPS_DATA_DIR to another folder in one of the two notebooks.")
  ],
  service_stopped: (trans, p) => [
    trans.__("The secxops service (process %1) is suspended, so it can't answer.", p("pid")),
    trans.__("Resume it with `kill -CONT %1`, or end it with `kill -KILL %1`: the next command starts a new one, which goes on with your shares.", p("pid"))
  ],
  service_unavailable: (trans, p) => [
    trans.__("The secxops service does not answer."),
    trans.__("Read its log file %1, or run `jupyter secxops serve` to see why it does not start.", p("log"))
  ],
  settings_unusable: (trans, p) => [
    trans.__("The secxops service can't use its settings: %1.", p("reason")),
    trans.__("Correct that setting; `jupyter secxops serve --help-all` lists all of them, and `jupyter --paths` the folders in which jupyter_secxops_config.py or .json can be.")
  ],
  shares_no_data: trans => [
    trans.__("Shares no data."),
    trans.__("Tick the data to take along.")
  ],
  source_replaced: (trans, p) => [
    trans.__("%1 is no longer the folder that the plan saw.", p("path")),
    trans.__("Look at what is there now, and at who may write to the folders above it, then share again.")
  ],
  source_unusable: (trans, p) => [
    trans.__("The pod %1 can't be shared: %2.", p("pod"), p("reason")),
    trans.__("Name a running notebook pod: --pod POD or POD/CONTAINER, or KubernetesEngine.source_pod and source_container.")
  ],
  stay_failed: (trans, p) => [
    trans.__("The scheduler no longer found room for it on node %1.", p("node")),
    ''
  ],
  stays_here: (trans, p, n) => [
    trans._n("Here, on node %3: %2 CPU and %4 of memory are free.", "Here, on node %3: %2 CPUs and %4 of memory are free.", n("cpu"), p("cpu"), p("node"), p("memory")),
    ''
  ],
  storage_unseen: (trans, p) => [
    trans.__("This account may not see %1, so whether the copies get their storage shows only when they are made.", p("what")),
    trans.__("An admin can allow it (Role secxops and ClusterRole secxops-placement in the operators' guide).")
  ],
  store_corrupt: (trans, p) => [
    trans.__("The record of your shares is damaged (%1).", p("store")),
    trans.__("Move that file away, or put one from a backup in its place. With an empty record, containers and volumes of old shares stay until you remove them with Docker or kubectl.")
  ],
  store_failed: (trans, p) => [
    trans.__("The record of your shares can't be used (%1): %2.", p("store"), p("reason")),
    trans.__("Check that its disk is mounted and healthy (`dmesg`), or that its database server runs; then retry.")
  ],
  store_full: (trans, p) => [
    trans.__("The disk that holds the record of your shares is full (%1).", p("store")),
    trans.__("Free space or files there (`df -h`, `df -i`), and retry.")
  ],
  store_locked: (trans, p) => [
    trans.__("Another secxops service (process %1) is using the record of your shares.", p("pid")),
    trans.__("Use that one, or stop it first.")
  ],
  store_newer: (trans, p) => [
    trans.__("The record of your shares was written by a newer version (%1).", p("store")),
    trans.__("Install that version again.")
  ],
  store_read_only: (trans, p) => [
    trans.__("The record of your shares can't be written (%1).", p("store")),
    trans.__("Make the folder and its files writable for your account, or set SECXOPS_DATA_DIR to a folder that is.")
  ],
  strategy_unknown: (trans, p) => [
    trans.__("%1.", p("reason")),
    trans.__("Correct ResourcePolicy.strategy, or install the package with that strategy.")
  ],
  submodule_missing: (trans, p) => [
    trans.__("%1 of this version's submodules can't be found here and will be empty.", p("count")),
    trans.__("Run `git submodule update --init --recursive` with this version checked out, and plan again.")
  ],
  tools_image_missing: (trans, p) => [
    trans.__("The tools image that makes copies can't be found or pulled: %1.", p("reason")),
    trans.__("Name a base image with Python 3.10 or newer that this engine has or can pull (setting DockerEngine.tools_base or SECXOPS_TOOLS_BASE), or ask your admin for a ready tools image (DockerEngine.tools_image, KubernetesEngine.tools_image).")
  ],
  unauthenticated: trans => [
    trans.__("You are not signed in."),
    trans.__("Sign in to Jupyter, or send its token.")
  ],
  unsaved_documents: (trans, p) => [
    trans.__("Open documents have unsaved changes (%1, such as %2): what is not saved is not copied.", p("count"), p("first")),
    ''
  ],
  unschedulable: (trans, p) => [
    trans.__("The scheduler finds no node for %1: %2", p("pod"), p("reason")),
    trans.__("Ask for less, stop something there, or tell your admin.")
  ],
  unseen: (trans, p) => [
    trans.__("This account may not see %1 of the cluster, so the scheduler decides.", p("what")),
    trans.__("An admin can allow it (ClusterRole secxops-placement in the operators' guide).")
  ],
  venv_inside: (trans, p) => [
    trans.__("%1 holds an environment of Python or conda, whose programs know it by its path here: they will not run at another path.", p("first")),
    trans.__("Install its packages in the Dockerfile, and keep it out of the project.")
  ],
  verify_failed: (trans, p, n) => [
    trans._n("%2 file of the copy differs from what was read from %3; the first is %4.", "%2 files of the copy differ from what was read from %3; the first is %4.", n("count"), p("count"), p("path"), p("first")),
    trans.__("Retry; if it happens again, the disk or memory of %1 is suspect: tell your admin.", p("node"))
  ],
  version_as_is: (trans, p) => [
    trans.__("The files are shared as they are now (%1).", p("label")),
    ''
  ],
  version_asked: (trans, p) => [
    trans.__("The files of version %1 (%2) are shared.", p("version"), p("commit")),
    ''
  ],
  version_incomplete: (trans, p) => [
    trans.__("Some files of version %1 are not here (as in a partial clone), or can't be read.", p("version")),
    trans.__("Fetch them with `git fetch --refetch --no-filter`, and plan again.")
  ],
  volume_bound: (trans, p) => [
    trans.__("There is room on %1, but the environment can't move there, because the volume of %2 can't be reached from there.", p("nodes"), p("claim")),
    trans.__("Ask for less, share without that folder, or ask your admin to put its copies on storage that all nodes can reach (KubernetesEngine.storage_classes).")
  ],
  whole_home: (trans, p) => [
    trans.__("%1 is a whole home folder; everything in it but credentials would be copied.", p("path")),
    trans.__("Share the project's own folder instead.")
  ],
  wrong_state: (trans, p) => [
    trans.__("This can't be done now: the share's state is %1, not %2.", p("state"), p("wanted")),
    trans.__("If it is still under way, wait or cancel it first; if it has ended, share again for a new copy.")
  ]
};

export const NOT_COPIED: Record<string, (trans: TranslationBundle) => string> = {
  access_tokens: trans => trans.__("access tokens"),
  cloud_credentials: trans => trans.__("cloud credentials"),
  command_history: trans => trans.__("history of commands"),
  copy_itself: trans => trans.__("is where the copy is made"),
  device: trans => trans.__("device"),
  file_system: trans => trans.__("belongs to the file system"),
  git_hook: trans => trans.__("a hook that git would run by itself"),
  in_backup: trans => trans.__("is in the backup of its SQLite database"),
  interrupted_copy: trans => trans.__("left by an interrupted copy"),
  jupyter_secret: trans => trans.__("a secret of its owner's Jupyter"),
  lfs_missing: trans => trans.__("its content is in Git LFS and not here; its pointer is copied"),
  named_pipe: trans => trans.__("named pipe"),
  no_file_name: trans => trans.__("is not a name of a file"),
  on_request: trans => trans.__("left out on request"),
  owner_keys: trans => trans.__("keys of its owner"),
  private_key: trans => trans.__("a private key"),
  registry_credentials: trans => trans.__("registry credentials"),
  replaced: trans => trans.__("was replaced by something else while it was copied"),
  running_jupyter: trans => trans.__("belongs to a running Jupyter"),
  runs_by_itself: trans => trans.__("would run by itself when Jupyter starts"),
  scrubbed: trans => trans.__("credentials were removed from it"),
  settings_file: trans => trans.__("settings that may hold credentials"),
  setuid: trans => trans.__("its set-user-id or set-group-id bit does not travel"),
  socket: trans => trans.__("socket"),
  special_file: trans => trans.__("special file"),
  stored_passwords: trans => trans.__("stored passwords"),
  submodule: trans => trans.__("git submodule, which a commit only names"),
  too_large_to_search: trans => trans.__("too large to be searched for credentials"),
  vanished: trans => trans.__("vanished while it was copied")
};
