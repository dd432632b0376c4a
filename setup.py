"Packaging of `tlora_flux`. Names, versions and requirements live in `settings.ini`; only the how is here."
from configparser import ConfigParser
from pathlib import Path
from shutil import copytree, rmtree

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

root = Path(__file__).parent
ini = ConfigParser(delimiters=['='])
ini.read(root/'settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']
package, concepts = cfg['lib_path'], ('terrazzo_ball', 'material_brick')  # `tlora quickstart` trains on the first; both can be named in a config


class BuildWithConcept(build_py):
    "Puts these folders of `data` into the wheel; an editable install reads them from the checkout."
    def run(self):
        super().run()
        if self.editable_mode: return
        for name in concepts:
            target = Path(self.build_lib)/package/'concepts'/name
            rmtree(target, ignore_errors=True)
            copytree(root/'data'/name, target, ignore=lambda folder, names: [o for o in names if o.startswith('.')])


class SdistWithConcept(sdist):
    "Adds what a wheel is built from and setuptools does not find by itself."
    def make_release_tree(self, base_dir, files):
        found = [o for name in concepts for o in sorted((root/'data'/name).rglob('*')) if o.is_file()]
        super().make_release_tree(base_dir, [*files, 'settings.ini', *(o.relative_to(root).as_posix() for o in found)])


setup(
    name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], author=cfg['author'],
    keywords=cfg['keywords'].split(), license='Apache-2.0', license_files=['LICENSE'],
    long_description=(root/'README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
    python_requires=f">={cfg['min_python']}",
    packages=find_packages(include=[package, f'{package}.*']), package_data={package: ['weights/**/*', 'explorer/view.*', 'pictures/hands.*']}, include_package_data=False,
    install_requires=cfg['requirements'].split(), extras_require={extra: cfg[f'{extra}_requirements'].split() for extra in ('dev', 'nf4', 'int8', 'prodigy', 'heic', 'bench')},
    entry_points={
        'console_scripts': cfg['console_scripts'].split(),
        'nbdev': [f'{package}={package}._modidx:d'],
    },
    cmdclass={'build_py': BuildWithConcept, 'sdist': SdistWithConcept},
    zip_safe=False,
)
