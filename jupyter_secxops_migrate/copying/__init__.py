"""The verified copy of a tree; stand-alone, it is what runs inside a Job.

``python -m jupyter_secxops_migrate.copying`` copies, ``….copying.verify`` compares a directory with
a manifest, ``….copying.own`` hands a copy to another owner. Behind them: `tree.copy_tree`,
`verify.verify_tree`, `own.own_tree`. Nothing is imported here, so that who only wants the table of
what is never copied (`never`) does not load the rest.
"""
