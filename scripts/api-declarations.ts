/** What of the sources a program sees: the names that a module exports, their public members, and how these are written. */
import ts from 'typescript';

/** On one line, as tables and signatures have it. */
export const oneLine = (text: string): string => text.replace(/\s+/g, ' ');

export function programOf(config: string): ts.Program {
  const onProblem = (problem: ts.Diagnostic): never => {
    throw new Error(ts.flattenDiagnosticMessageText(problem.messageText, '\n'));
  };
  const parsed = ts.getParsedCommandLineOfConfigFile(
    config,
    {},
    { ...ts.sys, onUnRecoverableConfigFileDiagnostic: onProblem },
  );
  if (parsed === undefined) throw new Error(`${config} cannot be read`);
  return ts.createProgram(parsed.fileNames, parsed.options);
}

export function exportsOf(program: ts.Program, checker: ts.TypeChecker, entry: string): readonly ts.Symbol[] {
  const source = program.getSourceFile(entry);
  const module = source && checker.getSymbolAtLocation(source);
  if (module === undefined) throw new Error(`${entry} exports nothing`);
  return checker.getExportsOfModule(module).map((symbol) => declared(checker, symbol));
}

/** What an imported or exported name stands for. */
export function declared<T extends ts.Symbol | undefined>(checker: ts.TypeChecker, symbol: T): T | ts.Symbol {
  return symbol !== undefined && symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
}

export function isOurs(symbol: ts.Symbol | undefined): boolean {
  const declaration = symbol?.declarations?.[0];
  return declaration?.getSourceFile().isDeclarationFile === false && !ts.isTypeParameterDeclaration(declaration);
}

/** Declarations of what a program may use of a class or an interface, what is inherited from our own ones included; those of overloads without what implements them. */
export function membersOf(checker: ts.TypeChecker, symbol: ts.Symbol): ts.Declaration[][] {
  const inherited = checker.getPropertiesOfType(checker.getDeclaredTypeOfSymbol(symbol));
  const statics = [...(symbol.exports?.values() ?? [])].filter(({ name }) => name !== 'prototype');
  const makers = symbol.members?.get(ts.InternalSymbolName.Constructor);
  return [...statics, ...(makers === undefined ? [] : [makers]), ...inherited]
    .filter(isOurs)
    .map(({ declarations = [] }) => declarations.filter(isPublic))
    .map((list) => (list.length > 1 ? list.filter((its) => !('body' in its && its.body !== undefined)) : list))
    .filter((list) => list.length > 0);
}

function isPublic(declaration: ts.Declaration): boolean {
  const name = ts.getNameOfDeclaration(declaration);
  if (name !== undefined && ts.isPrivateIdentifier(name)) return false;
  const hidden = ts.ModifierFlags.Private | ts.ModifierFlags.Protected;
  if (ts.getCombinedModifierFlags(declaration) & hidden) return false;
  return !ts.getJSDocTags(declaration).some(({ tagName }) => tagName.text === 'internal');
}

export function docstring(node: ts.Node): string {
  const comment = ts.getJSDocCommentsAndTags(node).findLast(ts.isJSDoc)?.comment;
  return (ts.getTextOfJSDocComment(comment) ?? '').trim();
}

/** What a constant is, as the sources have it, without what is said of its type. */
export function valueOf({ initializer }: ts.VariableDeclaration): string {
  let value = initializer;
  while (value !== undefined && (ts.isAsExpression(value) || ts.isSatisfiesExpression(value))) value = value.expression;
  return value?.getText() ?? '';
}

/** What of a member says what it takes and gives. */
export function typesOf(declaration: ts.Declaration): readonly ts.TypeNode[] {
  const parameters = ts.isFunctionLike(declaration) ? declaration.parameters : [];
  return [...parameters, declaration].flatMap((its) =>
    'type' in its && its.type !== undefined ? (its.type as ts.TypeNode) : [],
  );
}

export function signature(declaration: ts.Declaration, checker: ts.TypeChecker): string {
  const flags = ts.getCombinedModifierFlags(declaration);
  const before = flags & ts.ModifierFlags.Static ? 'static ' : '';
  const name = ts.getNameOfDeclaration(declaration)?.getText() ?? '';
  const type =
    'type' in declaration && declaration.type !== undefined
      ? (declaration.type as ts.TypeNode).getText()
      : checker.typeToString(checker.getTypeAtLocation(declaration));
  if (!ts.isFunctionLike(declaration) || ts.isGetAccessor(declaration))
    return `${before}readonly ${name}: ${oneLine(type)}`;
  const parameters = declaration.parameters.map((parameter) => {
    const optional = parameter.initializer !== undefined || parameter.questionToken !== undefined ? '?' : '';
    // What is taken apart at once has no name in the sources.
    const its = ts.isIdentifier(parameter.name) ? parameter.name.text : 'options';
    return `${its}${optional}: ${oneLine(parameter.type?.getText() ?? 'unknown')}`;
  });
  if (ts.isConstructorDeclaration(declaration)) return `new (${parameters.join(', ')})`;
  const line = `${before}${name}(${parameters.join(', ')}): ${oneLine(type)}`;
  return line.length <= 110
    ? line
    : `${before}${name}(\n${parameters.map((its) => `  ${its},\n`).join('')}): ${oneLine(type)}`;
}
