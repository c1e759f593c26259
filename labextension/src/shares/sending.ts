/** The click on *Share*: open documents are saved, then the request is sent, once however often it is clicked. */

import { Notification } from '@jupyterlab/apputils';
import { TranslationBundle } from '@jupyterlab/translation';
import { UUID } from '@lumino/coreutils';
import React from 'react';

import { ApiError } from '../core/api';
import { IMigration, IShareRequest } from '../core/model';
import { Documents } from './documents';
import { IPlanning } from './planning';
import { Shares } from './store';

export interface ISending {
  sending: boolean;
  /** Why documents could not be saved, so that nothing was sent. */
  notSaved: ApiError | null;
  share: () => Promise<void>;
}

export function useSending(props: {
  trans: TranslationBundle;
  shares: Shares;
  documents: Documents;
  planning: IPlanning;
  request: IShareRequest;
  /** Documents with unsaved changes that the plan knows of. */
  unsaved: readonly string[];
  /** Whether they are to be saved first. */
  saving: boolean;
  onMade: (made: IMigration) => void;
}): ISending {
  const { shares, documents, request } = props;
  const { plan, current, fail } = props.planning;
  const [sending, setSending] = React.useState(false);
  const [notSaved, setNotSaved] = React.useState<ApiError | null>(null);
  // One key for one request: clicking twice, or again after a broken connection, shares once.
  const sent = React.useRef({ body: '', key: '', front: documents.front() });

  /** Save what is to be saved; returns what is to be asked for. */
  const saved = async (): Promise<IShareRequest> => {
    const open = documents.unsaved();
    if (open.length && !props.saving) {
      return { ...request, unsaved: open };
    }
    const fresh = open.join('\0') === props.unsaved.join('\0') && current;
    const known = fresh ? plan : null;
    const count = await documents.saveFor(shares.api, request, known);
    if (count) {
      Notification.info(
        props.trans._n(
          '%1 document was saved.',
          '%1 documents were saved.',
          count
        ),
        { autoClose: 5000 }
      );
    }
    return request;
  };

  const send = (wanted: IShareRequest): Promise<IMigration> => {
    // The name that was shown is the one that it gets.
    const named = { name: plan?.name, ...wanted };
    const body = JSON.stringify(named);
    if (sent.current.body !== body) {
      sent.current = { body, key: UUID.uuid4(), front: documents.front() };
    }
    const { key, front } = sent.current;
    return shares.share(front === null ? named : { ...named, front }, key);
  };

  const share = async () => {
    setSending(true);
    setNotSaved(null);
    try {
      props.onMade(await send(await saved()));
    } catch (thrown) {
      const failure = ApiError.of(thrown);
      (failure.finding.code === 'not_saved' ? setNotSaved : fail)(failure);
      setSending(false);
    }
  };
  return { sending, notSaved, share };
}
