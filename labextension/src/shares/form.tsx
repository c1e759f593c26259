/** Share: one screen, with the plan beneath it as it is filled in. */

import { IStateDB } from '@jupyterlab/statedb';
import { ITranslator, TranslationBundle } from '@jupyterlab/translation';
import React from 'react';

import { IEnvironment, IFinding, IMigration } from '../core/model';
import { Button, Problem } from '../core/parts';
import { printable } from '../core/units';
import {
  aboutOwners,
  IAnswers,
  IExtra,
  requestOf,
  toRemember,
  unanswered
} from './answers';
import { Documents } from './documents';
import {
  DataFields,
  IFields,
  NameField,
  OwnersField,
  ResourceFields,
  VersionFields
} from './fields';
import { PlanView } from './plan';
import {
  IAdding,
  IPlanning,
  memoryKey,
  useAdding,
  usePlan,
  useRecalled,
  useUnsaved
} from './planning';
import { ISending, useSending } from './sending';
import { Shares } from './store';

interface IProps {
  trans: TranslationBundle;
  translator: ITranslator;
  shares: Shares;
  environment: IEnvironment;
  state: IStateDB | null;
  documents: Documents;
  onDone: (made: IMigration | null) => void;
}

/** The form as a whole: what is answered, what it would do, and what is under way. */
interface IForm extends IFields {
  planning: IPlanning;
  refusals: readonly IFinding[];
  /** Whether there is something in the way, as far as it is known. */
  refused: boolean;
  adding: IAdding;
  /** Whether open documents are saved first. */
  saving: boolean;
  setSaving: (saving: boolean) => void;
  sending: ISending;
}

function useForm(props: IProps): IForm {
  const { trans, shares, environment, documents, state } = props;
  const { api } = shares;
  const [answers, setAnswers] = React.useState(() => unanswered(environment));
  const change = (news: Partial<IAnswers>) =>
    setAnswers(now => ({ ...now, ...news }));
  const unsaved = useUnsaved(documents);
  const [saving, setSaving] = React.useState(true);
  const request = requestOf(environment.project.path, answers);
  const asking = unsaved.length ? { ...request, unsaved } : request;
  const planning = usePlan(api, asking);
  useRecalled(api, environment, state, setAnswers);
  const adding = useAdding(api, environment, setAnswers);
  const sending = useSending({
    trans,
    shares,
    documents,
    planning,
    request,
    unsaved,
    saving,
    onMade: made => {
      void state?.save(memoryKey(environment), { ...toRemember(answers) });
      props.onDone(made);
    }
  });
  const { plan, current, error } = planning;
  const refusals = plan && current && !error ? plan.refusals : [];
  const refused = refusals.length > 0 || (current && error !== null);
  const fields = { trans, environment, answers, plan, change };
  const more = { planning, refusals, refused, adding, saving, setSaving };
  return { ...fields, ...more, sending };
}

export function ShareForm(props: IProps): React.ReactElement {
  const { trans, environment, onDone } = props;
  const form = useForm(props);
  const element = React.useRef<HTMLFormElement>(null);
  const { planning, answers } = form;
  const { plan, current } = planning;
  return (
    <section
      aria-labelledby="jp-secxops-form"
      className="jp-secxops-Section"
      onKeyDown={event => {
        // While Chinese is typed, Escape and Enter are the input method's.
        if (event.key === 'Escape' && !event.nativeEvent.isComposing) {
          event.stopPropagation();
          onDone(null);
        }
      }}
    >
      <div className="jp-secxops-Head">
        <h2 id="jp-secxops-form">
          {trans.__('Share %1', printable(environment.project.name))}
        </h2>
      </div>
      <form
        ref={element}
        className="jp-secxops-Form"
        onKeyDown={event => {
          // Enter in a field ends what is typed there; only the button shares.
          if (
            event.key === 'Enter' &&
            event.target instanceof HTMLInputElement
          ) {
            event.preventDefault();
          }
        }}
        onSubmit={event => {
          event.preventDefault();
          if (plan && current && !form.refused && !form.sending.sending) {
            void form.sending.share();
          }
        }}
      >
        <NameField {...form} />
        <VersionFields {...form} />
        <DataFields
          {...form}
          translator={props.translator}
          documents={props.documents}
        />
        {(answers.keepOwners || (plan && aboutOwners(plan))) && (
          <OwnersField {...form} />
        )}
        <ResourceFields {...form} />
        {form.refused && <Refusals {...form} />}
        {!(current && planning.error) && <WhatWillHappen {...form} />}
        <Submit
          {...form}
          onSubmit={() => element.current?.requestSubmit()}
          onCancel={() => onDone(null)}
        />
      </form>
    </section>
  );
}

/** Why it can't be shared so. */
function Refusals(form: IForm): React.ReactElement {
  const { trans, refusals, planning, environment, change } = form;
  const about = { project: environment.project.path };
  return (
    <div role="alert">
      {refusals.map((refusal, n) => (
        <Problem key={n} trans={trans} finding={refusal} about={about}>
          {refusal.code === 'dockerfile_elsewhere' && (
            <Button
              onClick={() =>
                change({ dockerfile: String(refusal.params.first) })
              }
            >
              {trans.__('Use %1', printable(String(refusal.params.first)))}
            </Button>
          )}
        </Problem>
      ))}
      {planning.current && planning.error && (
        <Problem trans={trans} finding={planning.error.finding} about={about} />
      )}
    </div>
  );
}

/** The plan, with what its warnings ask for beside them. */
function WhatWillHappen(form: IForm): React.ReactElement {
  const { trans, answers, plan, planning, adding, change } = form;
  const plans = React.useRef<HTMLDivElement>(null);

  const takeAlong = async (finding: IFinding) => {
    const { data, mounts, instead } = finding.params as Partial<IExtra> & {
      instead?: string;
    };
    if (data?.length) {
      if (mounts) {
        change({ extras: [...answers.extras, { data, mounts }] });
      }
      await adding.add(data, instead);
      // The button goes with the warning.
      plans.current?.focus();
    }
  };
  const below = (finding: IFinding) => {
    const { data } = finding.params;
    if (finding.code === 'unsaved_documents') {
      return <SaveThem {...form} />;
    }
    return (
      Array.isArray(data) && (
        <div className="jp-secxops-Buttons">
          <Button
            disabled={adding.adding}
            onClick={() => void takeAlong(finding)}
          >
            {trans.__('Take along %1', printable(data.join(', ')))}
          </Button>
        </div>
      )
    );
  };
  return (
    <div
      ref={plans}
      tabIndex={-1}
      role="group"
      aria-labelledby="jp-secxops-plan"
      aria-busy={!planning.current}
      className="jp-secxops-Plan"
    >
      <h3 id="jp-secxops-plan">{trans.__('What will happen')}</h3>
      {plan ? (
        <PlanView
          trans={trans}
          plan={plan}
          below={below}
          onKeep={(path, wanted) => {
            const others = answers.keep.filter(one => one !== path);
            change({ keep: [...others, ...(wanted ? [path] : [])] });
          }}
        />
      ) : (
        <p className="jp-secxops-Quiet">{trans.__('Deciding…')}</p>
      )}
    </div>
  );
}

function SaveThem({ trans, saving, setSaving }: IForm): React.ReactElement {
  return (
    <label className="jp-secxops-Check">
      <input
        type="checkbox"
        checked={saving}
        onChange={event => setSaving(event.target.checked)}
      />
      {trans.__('Save them before sharing')}
    </label>
  );
}

/** The buttons, and in words for those who listen whether they can be used. */
function Submit(
  form: IForm & { onSubmit: () => void; onCancel: () => void }
): React.ReactElement {
  const { trans, plan, planning, refused } = form;
  const { sending, notSaved } = form.sending;
  return (
    <>
      {notSaved && <Problem alert trans={trans} finding={notSaved.finding} />}
      <div className="jp-secxops-Buttons jp-secxops-Submit">
        <Button onClick={form.onCancel}>{trans.__('Cancel')}</Button>
        {refused ? (
          <Button onClick={planning.planAgain}>
            {trans.__('Check again')}
          </Button>
        ) : (
          <Button
            kind="accept"
            disabled={!plan || !planning.current || sending}
            onClick={form.onSubmit}
          >
            {sending ? trans.__('Sharing…') : trans.__('Share')}
          </Button>
        )}
      </div>
      <span role="status" className="jp-secxops-Unseen">
        {!planning.current
          ? ''
          : refused
            ? trans.__('The plan was refused.')
            : trans.__('The plan is ready.')}
      </span>
    </>
  );
}
