import { LabIcon } from '@jupyterlab/ui-components';

/** A box and its copy: the sidebar's tab. */
export const shareIcon = new LabIcon({
  name: 'jupyter-secxops:share-environment',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g class="jp-icon3" fill="#616161">
    <path d="M3 3h12v4h-2V5H5v8h2v2H3z"/>
    <path d="M9 9h12v12H9zm2 2v8h8v-8z"/>
    <path d="M14 12h2v2h2v2h-2v2h-2v-2h-2v-2h2z"/>
  </g>
</svg>`
});
