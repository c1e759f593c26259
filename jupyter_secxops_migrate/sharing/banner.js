// A Lab extension without imports, so that every JupyterLab of 3 or 4 can load it, whatever it was built
// with: the window's title and a slim bar say that this is a copy, and of what. `COPY` is filled in.
(function () {
  'use strict';
  var COPY = {};
  var CLOSED = 'jupyter-secxops:copy-closed';

  function words() {
    var chinese = /^zh/i.test(document.documentElement.lang || '');
    var language = document.documentElement.lang || undefined;
    var date = new Date(COPY.created);
    var when;
    try {
      when = date.toLocaleString(language, { dateStyle: 'medium', timeStyle: 'short' });
    } catch (error) {
      when = date.toLocaleString();
    }
    var title = chinese ? COPY.project + ' 的副本' : 'Copy of ' + COPY.project;
    var parts = [
      title,
      (chinese ? '共享 ' : 'share ') + COPY.name,
      (chinese ? '来自 ' : 'from ') + COPY.owner,
      when
    ];
    if (COPY.commit) {
      parts.push((chinese ? '提交 ' : 'commit ') + COPY.commit);
    }
    return { title: title, text: parts.join(' · '), close: chinese ? '关闭' : 'Close' };
  }

  function nameWindow(said) {
    // As a title is read back; compared with another it would be written for ever.
    var title = said.replace(/\s+/g, ' ').trim();
    function name() {
      if (document.title.indexOf(title) !== 0) {
        document.title = title + ' · ' + document.title;
      }
    }
    // JupyterLab names the window anew with each document in front.
    new MutationObserver(name).observe(document.head, {
      childList: true,
      subtree: true,
      characterData: true
    });
    name();
  }

  function closed(value) {
    try {
      if (value) {
        window.sessionStorage.setItem(CLOSED, value);
      }
      return window.sessionStorage.getItem(CLOSED) === COPY.id;
    } catch (error) {
      return false;
    }
  }

  function makeRoom(pixels) {
    var main = document.getElementById('main');
    if (main) {
      main.style.top = pixels ? pixels + 'px' : '';
      window.dispatchEvent(new Event('resize'));
    }
  }

  function showBar(said) {
    var bar = document.createElement('div');
    bar.setAttribute('role', 'region');
    bar.setAttribute('aria-label', said.title);
    bar.style.cssText =
      'position:absolute;top:0;left:0;right:0;display:flex;align-items:center;gap:8px;height:24px;' +
      'box-sizing:border-box;padding:0 4px 0 12px;font:13px var(--jp-ui-font-family,sans-serif);' +
      'color:var(--jp-ui-font-color1,#212121);background:var(--jp-layout-color2,#eee);' +
      'border-bottom:2px solid var(--jp-info-color1,#1976d2)';
    var text = document.createElement('span');
    text.textContent = text.title = said.text;
    text.style.cssText = 'flex:1;overflow:hidden;text-overflow:ellipsis;white-space:nowrap';
    var close = document.createElement('button');
    close.type = 'button';
    close.textContent = '✕';
    close.title = said.close;
    close.setAttribute('aria-label', said.close + ': ' + said.title);
    close.style.cssText = 'border:none;background:none;color:inherit;cursor:pointer;padding:2px 8px';
    close.onclick = function () {
      bar.remove();
      makeRoom(0);
      closed(COPY.id);
    };
    bar.append(text, close);
    document.body.insertBefore(bar, document.body.firstChild);
    makeRoom(24);
  }

  var plugin = {
    id: '@jupyter-secxops/copy:banner',
    description: 'Says that this is a copy, and of what.',
    autoStart: true,
    activate: function (app) {
      app.restored.then(function () {
        var said = words();
        nameWindow(said.title);
        if (!closed()) {
          showBar(said);
        }
      });
    }
  };

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB['@jupyter-secxops/copy'] = {
    init: function () {},
    get: function () {
      return Promise.resolve(function () {
        return { __esModule: true, default: plugin };
      });
    }
  };
})();
