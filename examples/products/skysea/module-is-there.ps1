# Says whether the vendor's module was applied: it ends with 0 where each file has the version that the module's own page tells, and with another
# status where one has not. It asks and changes nothing. An example to adapt; it was not tested on Windows.
#
# The vendor's notice names no file and no version of one: write down those of the page of your module. As it stands it ends with 2.
$ErrorActionPreference = 'Stop'

$expected = @{
    # 'C:\Program Files (x86)\...\....dll' = '12.100.7.1'
}

if ($expected.Count -eq 0) { exit 2 }
foreach ($path in $expected.Keys) {
    if (-not (Test-Path -LiteralPath $path -PathType Leaf)) { exit 1 }
    $told = (Get-Item -LiteralPath $path).VersionInfo
    $version = New-Object Version $told.FileMajorPart, $told.FileMinorPart, $told.FileBuildPart, $told.FilePrivatePart
    if ($version -lt [version] $expected[$path]) { exit 1 }
}
exit 0
