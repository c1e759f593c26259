/** The fields of the form; each shows the answers and says what changes in them. */

import { FileDialog } from '@jupyterlab/filebrowser';
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { IEnvironment, IPlan } from '../core/model';
import { Button, Path, Problem } from '../core/parts';
import { files, size } from '../core/units';
import { IAnswers, inGib } from './answers';
import { Documents } from './documents';
import { IAdding } from './planning';

export interface IFields {
  trans: TranslationBundle;
  environment: IEnvironment;
  answers: IAnswers;
  /** What is proposed where nothing is answered. */
  plan: IPlan | null;
  change: (news: Partial<IAnswers>) => void;
}

export function NameField(props: IFields): React.ReactElement {
  const { trans, answers, plan, change } = props;
  const input = React.useRef<HTMLInputElement>(null);
  React.useEffect(() => input.current?.focus(), []);
  return (
    <label className="jp-secxops-Field">
      <span>{trans.__('Name')}</span>
      <input
        ref={input}
        className="jp-mod-styled"
        type="text"
        maxLength={100}
        value={answers.name ?? plan?.name ?? ''}
        onChange={event => change({ name: event.target.value })}
      />
    </label>
  );
}

export function VersionFields(props: IFields): React.ReactElement {
  const { trans, answers, environment, change } = props;
  const choice = (byReference: boolean, words: string) => (
    <label>
      <input
        type="radio"
        name="jp-secxops-version"
        checked={answers.byReference === byReference}
        onChange={() => change({ byReference })}
      />
      {words}
    </label>
  );
  return (
    <fieldset>
      <legend>{trans.__('Version')}</legend>
      {choice(false, trans.__('as it is now'))}
      {choice(true, trans.__('commit, tag or branch'))}
      {answers.byReference && (
        <input
          className="jp-mod-styled"
          type="text"
          aria-label={trans.__('Commit, tag or branch')}
          placeholder={environment.version.branch ?? 'main'}
          value={answers.reference}
          onChange={event => change({ reference: event.target.value })}
        />
      )}
    </fieldset>
  );
}

/** The code, which is always taken along, and the data folders. */
export function DataFields(
  props: IFields & {
    translator: ITranslator;
    documents: Documents;
    adding: IAdding;
  }
): React.ReactElement {
  const { trans, environment, adding } = props;
  return (
    <fieldset>
      <legend>{trans.__('Take along')}</legend>
      <p>
        {trans.__('Code')}{' '}
        <span className="jp-secxops-Quiet">
          {size(trans, environment.project.bytes)} ·{' '}
          {files(trans, environment.project.files)} · {trans.__('always')}
        </span>
      </p>
      <Choices {...props} />
      <FurtherFolder {...props} />
      {adding.error && (
        <Problem alert trans={trans} finding={adding.error.finding} />
      )}
    </fieldset>
  );
}

function Choices({ trans, answers, change }: IFields): React.ReactElement {
  return (
    <>
      {answers.choices.map(({ folder, path, taken }) => (
        <label key={path} className="jp-secxops-Choice">
          <input
            type="checkbox"
            checked={taken}
            onChange={event =>
              change({
                choices: answers.choices.map(one =>
                  one.path === path
                    ? { ...one, taken: event.target.checked }
                    : one
                )
              })
            }
          />
          <span>
            <Path path={path} />{' '}
            <span className="jp-secxops-Quiet">
              {size(trans, folder.bytes)} · {files(trans, folder.files)}
            </span>
          </span>
        </label>
      ))}
    </>
  );
}

/** A folder that is typed or looked for. */
function FurtherFolder(props: {
  trans: TranslationBundle;
  translator: ITranslator;
  documents: Documents;
  adding: IAdding;
}): React.ReactElement {
  const { trans, translator, documents } = props;
  const { adding, add } = props.adding;
  const [typed, setTyped] = React.useState('');
  const input = React.useRef<HTMLInputElement>(null);

  const addAndClear = async (path: string) => {
    if (await add([path])) {
      setTyped('');
    }
  };
  const addTyped = async () => {
    const path = typed.trim().replace(/(.)\/+$/, '$1');
    if (path) {
      await addAndClear(path);
      input.current?.focus();
    }
  };
  const browse = async () => {
    if (!documents.manager) {
      return;
    }
    const answer = await FileDialog.getExistingDirectory({
      manager: documents.manager,
      title: trans.__('Data to take along'),
      translator
    });
    const chosen = answer.value?.[0];
    if (answer.button.accept && chosen) {
      await addAndClear(chosen.path || '.');
    }
  };

  return (
    <>
      <label className="jp-secxops-Field">
        <span>{trans.__('Data folder')}</span>
        <input
          ref={input}
          className="jp-mod-styled"
          type="text"
          placeholder="/data/domains"
          value={typed}
          onChange={event => setTyped(event.target.value)}
          onKeyDown={event => {
            if (event.key === 'Enter' && !event.nativeEvent.isComposing) {
              event.preventDefault();
              void addTyped();
            }
          }}
        />
      </label>
      <div className="jp-secxops-Buttons">
        <Button
          disabled={adding || !typed.trim()}
          onClick={() => void addTyped()}
        >
          {adding ? trans.__('Looking…') : trans.__('Add folder')}
        </Button>
        {documents.manager && (
          <Button onClick={() => void browse()}>{trans.__('Browse…')}</Button>
        )}
      </div>
    </>
  );
}

export function OwnersField(props: IFields): React.ReactElement {
  const { trans, answers, change } = props;
  return (
    <label className="jp-secxops-Check">
      <input
        type="checkbox"
        checked={answers.keepOwners}
        onChange={event => change({ keepOwners: event.target.checked })}
      />
      {trans.__('Leave files of other accounts to their owners')}
    </label>
  );
}

export function ResourceFields(props: IFields): React.ReactElement {
  const { trans, answers, environment, plan, change } = props;
  const field = (
    words: string,
    value: string | number,
    onChange: (typed: string) => void,
    step?: number
  ) => (
    <label>
      <span>{words}</span>
      <input
        className="jp-mod-styled"
        type="number"
        min={step ? 0 : 0.1}
        step={step ?? 'any'}
        value={value}
        onChange={event => onChange(event.target.value)}
      />
    </label>
  );
  const cpu = answers.cpu ?? plan?.cpu ?? environment.cpu ?? '';
  const memory = answers.memory ?? inGib(plan?.memory ?? environment.memory);
  return (
    <fieldset className="jp-secxops-Resources">
      <legend>{trans.__('Resources')}</legend>
      {field(trans.__('CPU'), cpu, typed => change({ cpu: typed }))}
      {field(trans.__('Memory (GB)'), memory, typed =>
        change({ memory: typed })
      )}
      {field(trans.__('GPU'), answers.gpu, typed => change({ gpu: typed }), 1)}
    </fieldset>
  );
}
