/** Share: one screen, with the plan beneath it as it is filled in. */

import { FileDialog } from '@jupyterlab/filebrowser';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import React from 'react';

import { ApiError } from '../api';
import {
  IEnvironment,
  IFolder,
  IMigration,
  IPlan,
  IShareRequest
} from '../model';
import { Shares } from '../shares';
import { files, size } from '../units';
import { Button, Path, Problem } from './common';
import { PlanView } from './plan';

const SETTLE = 350;
const GIB = 1024 ** 3;

interface IChoice {
  folder: IFolder;
  taken: boolean;
}

/** Which data was offered, and which was taken, the last time this project was shared. */
interface IRemembered {
  offered: string[];
  taken: string[];
}

function memoryKey(environment: IEnvironment): string {
  return `jupyter-secxops:data:${environment.project.path}`;
}

export function ShareForm(props: {
  trans: TranslationBundle;
  translator: ITranslator;
  shares: Shares;
  environment: IEnvironment;
  state: IStateDB | null;
  documents: IDocumentManager | null;
  onDone: (made: IMigration | null) => void;
}): React.ReactElement {
  const { trans, shares, environment } = props;
  const { api } = shares;
  const first = React.useRef<HTMLInputElement>(null);
  const form = React.useRef<HTMLFormElement>(null);
  const path = React.useRef<HTMLInputElement>(null);

  // What the person typed; null where they left what the plan proposes.
  const [name, setName] = React.useState<string | null>(null);
  const [cpu, setCpu] = React.useState<string | null>(null);
  const [memory, setMemory] = React.useState<string | null>(null);
  const [gpu, setGpu] = React.useState('0');
  const [byReference, setByReference] = React.useState(false);
  const [reference, setReference] = React.useState('');
  const [choices, setChoices] = React.useState<IChoice[]>(() =>
    environment.data.map(folder => ({ folder, taken: false }))
  );
  const [added, setAdded] = React.useState('');
  const [adding, setAdding] = React.useState(false);
  const [addError, setAddError] = React.useState<ApiError | null>(null);

  const [plan, setPlan] = React.useState<IPlan | null>(null);
  const [planned, setPlanned] = React.useState('');
  const [error, setError] = React.useState<ApiError | null>(null);
  const [again, setAgain] = React.useState(0);
  const [sending, setSending] = React.useState(false);

  const request = React.useMemo(() => {
    const asked: IShareRequest = {
      project: environment.project.path,
      data: choices.filter(one => one.taken).map(one => one.folder.path)
    };
    if (name?.trim()) {
      asked.name = name.trim();
    }
    if (byReference && reference.trim()) {
      asked.version = reference.trim();
    }
    if (cpu?.trim()) {
      asked.cpu = Number(cpu);
    }
    if (memory?.trim()) {
      asked.memory = Math.round(Number(memory) * GIB);
    }
    if (gpu.trim()) {
      asked.gpu = Number(gpu);
    }
    return asked;
  }, [environment, choices, name, byReference, reference, cpu, memory, gpu]);
  const body = JSON.stringify(request);
  // One key for one request: clicking twice, or again after a broken connection, shares once.
  const key = React.useMemo(() => UUID.uuid4(), [body]);

  React.useEffect(() => first.current?.focus(), []);

  React.useEffect(() => {
    const abort = new AbortController();
    const timer = window.setTimeout(() => {
      api
        .plan(request, abort.signal)
        .then(made => {
          setPlan(made);
          setPlanned(body);
          setError(null);
        })
        .catch((thrown: unknown) => {
          if (!abort.signal.aborted) {
            setPlanned(body);
            setError(ApiError.of(thrown));
          }
        });
    }, SETTLE);
    return () => {
      window.clearTimeout(timer);
      abort.abort();
    };
  }, [body, again]);

  React.useEffect(() => {
    let gone = false;
    const recall = async () => {
      const found = (await props.state?.fetch(memoryKey(environment))) as
        Partial<IRemembered> | undefined;
      const offered = found?.offered ?? [];
      const taken = found?.taken ?? [];
      const known = new Set(environment.data.map(folder => folder.path));
      const more = offered.filter(one => !known.has(one));
      const folders = more.length
        ? await api
            .environment(environment.project.path, more)
            .then(answer => answer.data)
            .catch(() => [])
        : [];
      if (gone || !found) {
        return;
      }
      setChoices(now => {
        const here = new Set(now.map(one => one.folder.path));
        return [
          ...now.map(one => ({
            ...one,
            taken: one.taken || taken.includes(one.folder.path)
          })),
          ...folders
            .filter(folder => !here.has(folder.path))
            .map(folder => ({ folder, taken: taken.includes(folder.path) }))
        ];
      });
    };
    void recall();
    return () => {
      gone = true;
    };
  }, []);

  const add = async (wanted: string) => {
    if (!wanted.trim() || adding) {
      return;
    }
    setAdding(true);
    setAddError(null);
    try {
      const before = new Set(choices.map(one => one.folder.path));
      const answer = await api.environment(environment.project.path, [
        wanted.trim()
      ]);
      const found = answer.data.filter(
        folder => !environment.data.some(one => one.path === folder.path)
      );
      const known = answer.data.find(
        folder => folder.path === wanted.trim().replace(/(.)\/+$/, '$1')
      );
      const wantedFolders = found.length ? found : known ? [known] : [];
      setChoices(now => [
        ...now.map(one =>
          wantedFolders.some(folder => folder.path === one.folder.path)
            ? { ...one, taken: true }
            : one
        ),
        ...wantedFolders
          .filter(folder => !before.has(folder.path))
          .map(folder => ({ folder, taken: true }))
      ]);
      setAdded('');
    } catch (thrown) {
      setAddError(ApiError.of(thrown));
    }
    setAdding(false);
    path.current?.focus();
  };

  const browse = async () => {
    if (!props.documents) {
      return;
    }
    const answer = await FileDialog.getExistingDirectory({
      manager: props.documents,
      title: trans.__('Data to take along'),
      translator: props.translator
    });
    const chosen = answer.value?.[0];
    if (answer.button.accept && chosen) {
      await add(chosen.path || '.');
    }
  };

  const share = async () => {
    setSending(true);
    try {
      const made = await shares.share(request, key);
      const remembered: IRemembered = {
        offered: choices.map(one => one.folder.path),
        taken: request.data
      };
      void props.state?.save(memoryKey(environment), { ...remembered });
      props.onDone(made);
    } catch (thrown) {
      setError(ApiError.of(thrown));
      setSending(false);
    }
  };

  const current = planned === body;
  const refusals = plan && current && !error ? plan.refusals : [];
  const refused = refusals.length > 0 || (current && error !== null);

  return (
    <section
      aria-labelledby="jp-secxops-form"
      className="jp-secxops-Section"
      onKeyDown={event => {
        // While Chinese is typed, Escape and Enter are the input method's.
        if (event.key === 'Escape' && !event.nativeEvent.isComposing) {
          event.stopPropagation();
          props.onDone(null);
        }
      }}
    >
      <div className="jp-secxops-Head">
        <h2 id="jp-secxops-form">
          {trans.__('Share %1', environment.project.name)}
        </h2>
      </div>
      <form
        ref={form}
        className="jp-secxops-Form"
        onSubmit={event => {
          event.preventDefault();
          if (plan && current && !refused && !sending) {
            void share();
          }
        }}
      >
        <label className="jp-secxops-Field">
          <span>{trans.__('Name')}</span>
          <input
            ref={first}
            className="jp-mod-styled"
            type="text"
            maxLength={100}
            value={name ?? plan?.name ?? ''}
            onChange={event => setName(event.target.value)}
          />
        </label>

        <fieldset>
          <legend>{trans.__('Version')}</legend>
          <label>
            <input
              type="radio"
              name="jp-secxops-version"
              checked={!byReference}
              onChange={() => setByReference(false)}
            />
            {trans.__('as it is now')}
          </label>
          <label>
            <input
              type="radio"
              name="jp-secxops-version"
              checked={byReference}
              onChange={() => setByReference(true)}
            />
            {trans.__('commit, tag or branch')}
          </label>
          {byReference && (
            <input
              className="jp-mod-styled"
              type="text"
              aria-label={trans.__('Commit, tag or branch')}
              placeholder={environment.version.branch ?? 'main'}
              value={reference}
              onChange={event => setReference(event.target.value)}
            />
          )}
        </fieldset>

        <fieldset>
          <legend>{trans.__('Take along')}</legend>
          <p>
            {trans.__('Code')}{' '}
            <span className="jp-secxops-Quiet">
              {size(trans, environment.project.bytes)} ·{' '}
              {files(trans, environment.project.files)} · {trans.__('always')}
            </span>
          </p>
          {choices.map(({ folder, taken }) => (
            <label key={folder.path} className="jp-secxops-Choice">
              <input
                type="checkbox"
                checked={taken}
                onChange={event => {
                  const wanted = event.target.checked;
                  setChoices(now =>
                    now.map(one =>
                      one.folder.path === folder.path
                        ? { ...one, taken: wanted }
                        : one
                    )
                  );
                }}
              />
              <span>
                <Path path={folder.path} />{' '}
                <span className="jp-secxops-Quiet">
                  {size(trans, folder.bytes)} · {files(trans, folder.files)}
                </span>
              </span>
            </label>
          ))}
          <label className="jp-secxops-Field">
            <span>{trans.__('Data folder')}</span>
            <input
              ref={path}
              className="jp-mod-styled"
              type="text"
              placeholder="/data/domains"
              value={added}
              onChange={event => setAdded(event.target.value)}
              onKeyDown={event => {
                if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
                  event.preventDefault();
                  void add(added);
                }
              }}
            />
          </label>
          <div className="jp-secxops-Buttons">
            <Button
              disabled={adding || !added.trim()}
              onClick={() => void add(added)}
            >
              {adding ? trans.__('Looking…') : trans.__('Add folder')}
            </Button>
            {props.documents && (
              <Button onClick={() => void browse()}>
                {trans.__('Browse…')}
              </Button>
            )}
          </div>
          {addError && (
            <Problem alert trans={trans} finding={addError.finding} />
          )}
        </fieldset>

        <fieldset className="jp-secxops-Resources">
          <legend>{trans.__('Resources')}</legend>
          <label>
            <span>{trans.__('CPU')}</span>
            <input
              className="jp-mod-styled"
              type="number"
              min={0.1}
              step="any"
              value={cpu ?? plan?.cpu ?? environment.cpu ?? ''}
              onChange={event => setCpu(event.target.value)}
            />
          </label>
          <label>
            <span>{trans.__('Memory (GB)')}</span>
            <input
              className="jp-mod-styled"
              type="number"
              min={0.1}
              step="any"
              value={memory ?? inGib(plan?.memory ?? environment.memory)}
              onChange={event => setMemory(event.target.value)}
            />
          </label>
          <label>
            <span>{trans.__('GPU')}</span>
            <input
              className="jp-mod-styled"
              type="number"
              min={0}
              step={1}
              value={gpu}
              onChange={event => setGpu(event.target.value)}
            />
          </label>
        </fieldset>

        {refused && (
          <div role="alert">
            {refusals.map((refusal, n) => (
              <Problem
                key={n}
                trans={trans}
                finding={refusal}
                about={{ project: environment.project.path }}
              />
            ))}
            {current && error && (
              <Problem
                trans={trans}
                finding={error.finding}
                about={{ project: environment.project.path }}
              />
            )}
          </div>
        )}
        {!(current && error) && (
          <div
            role="group"
            aria-labelledby="jp-secxops-plan"
            aria-busy={!current}
            className="jp-secxops-Plan"
          >
            <h3 id="jp-secxops-plan">{trans.__('What will happen')}</h3>
            {plan ? (
              <PlanView trans={trans} plan={plan} />
            ) : (
              <p className="jp-secxops-Quiet">{trans.__('Deciding…')}</p>
            )}
          </div>
        )}

        <div className="jp-secxops-Buttons jp-secxops-Submit">
          <Button onClick={() => props.onDone(null)}>
            {trans.__('Cancel')}
          </Button>
          {refused ? (
            <Button
              onClick={() => {
                setPlanned('');
                setAgain(again + 1);
              }}
            >
              {trans.__('Check again')}
            </Button>
          ) : (
            <Button
              kind="accept"
              disabled={!plan || !current || sending}
              onClick={() => form.current?.requestSubmit()}
            >
              {sending ? trans.__('Sharing…') : trans.__('Share')}
            </Button>
          )}
        </div>
        <span role="status" className="jp-secxops-Unseen">
          {!current
            ? ''
            : refused
              ? trans.__('The plan says no.')
              : trans.__('The plan is ready.')}
        </span>
      </form>
    </section>
  );
}

function inGib(bytes: number | null | undefined): string {
  return bytes ? String(Math.round((10 * bytes) / GIB) / 10) : '';
}
