<#
.SYNOPSIS
Installs the OpenRMS client on this machine, or brings it up to date: the twin of install.sh, for
administrators' scripts and for start-up scripts of Group Policy.

.DESCRIPTION
The signature of the list of files and the hash of a package are checked before every step that uses
them. Nothing is asked, the machine is never restarted, and where all is current nothing is done. The
second package is not tried when the first failed.

Exit codes: 0 installed, or current already; 3010 installed, and to be completed by a restart; 1 failed;
2 wrong usage; 4 not trusted (the word before the colon says why: manifest-forged, manifest-replayed,
manifest-expired, manifest-malformed, file-altered, file-missing, older-version, package-mismatch);
5 the channel is not reached.

.PARAMETER Channel
Where the packages are: a URL, or a folder, which may be a share or a medium.
.PARAMETER Key
Whose packages they are (RSA public key, PEM; default: openrms-release.pem beside this script).
.PARAMETER Properties
Settings for the client's package, such as SERVICEURL=https://rms.example.com.
.PARAMETER Log
A line for each step (default: Logs\openrms-install.log in the folder of Windows).
#>
#Requires -Version 5.1
[CmdletBinding()]
param(
    [Parameter(Mandatory = $true)][string]$Channel,
    [string]$Key = (Join-Path $PSScriptRoot 'openrms-release.pem'),
    [string[]]$Properties = @(),
    [string]$Log = (Join-Path $env:SystemRoot 'Logs\openrms-install.log')
)
Set-StrictMode -Version 2
$ErrorActionPreference = 'Stop'

function Say([string]$Text) {
    Write-Output "openrms-install: $Text"
    $time = [DateTime]::UtcNow.ToString('yyyy-MM-ddTHH:mm:ssZ')
    try { Add-Content -LiteralPath $Log -Value "$time $Text" -Encoding UTF8 } catch { }
}

function Fail([int]$Code, [string]$Name, [string]$Text) {
    Say "${Name}: $Text" | Write-Host
    Remove-Item -LiteralPath $script:work -Recurse -Force -ErrorAction SilentlyContinue
    exit $Code
}

# A file of the channel into the working folder.
function Get-ChannelFile([string]$Path) {
    $to = Join-Path $script:work (Split-Path -Leaf $Path)
    try {
        if ($Channel -match '^https?://') {
            $client = New-Object Net.WebClient
            $client.DownloadFile($Channel.TrimEnd('/') + '/' + $Path, $to)
        }
        else { Copy-Item -LiteralPath (Join-Path $Channel $Path.Replace('/', '\')) -Destination $to }
    }
    catch { Fail 5 'unreachable' "$Channel/$Path cannot be fetched: $($_.Exception.Message)" }
    return $to
}

# One element of DER: its content and where it ends. .NET Framework reads no PEM by itself.
function Read-Der([byte[]]$Bytes, [int]$At) {
    $length = [int]$Bytes[$At + 1]
    $from = $At + 2
    if ($length -gt 127) {
        $count = $length - 128
        if ($count -gt 2) { throw 'too long' }
        $length = 0
        for ($i = 0; $i -lt $count; $i++) { $length = $length * 256 + $Bytes[$from + $i] }
        $from += $count
    }
    if ($from + $length -gt $Bytes.Length) { throw 'too short' }
    return @{ From = $from; Length = $length; End = $from + $length }
}

function Read-Integer([byte[]]$Bytes, $Element) {
    $skip = 0
    while ($Element.Length - $skip -gt 1 -and $Bytes[$Element.From + $skip] -eq 0) { $skip++ }
    return , [byte[]]$Bytes[($Element.From + $skip)..($Element.End - 1)]
}

# SubjectPublicKeyInfo (RFC 5280 4.1): an algorithm, and a bit string that holds modulus and exponent.
function Read-PublicKey([string]$File) {
    try {
        $text = [IO.File]::ReadAllText($File) -replace '-----[A-Z ]+-----', ''
        $der = [Convert]::FromBase64String($text)
        $outer = Read-Der $der 0
        $algorithm = Read-Der $der $outer.From
        $bits = Read-Der $der $algorithm.End
        $key = Read-Der $der ($bits.From + 1)
        $modulus = Read-Der $der $key.From
        $exponent = Read-Der $der $modulus.End
        $parameters = New-Object Security.Cryptography.RSAParameters
        $parameters.Modulus = Read-Integer $der $modulus
        $parameters.Exponent = Read-Integer $der $exponent
        if ($parameters.Modulus.Length -lt 256) { throw 'the key is too short' }
        $rsa = New-Object Security.Cryptography.RSACryptoServiceProvider
        $rsa.PersistKeyInCsp = $false
        $rsa.ImportParameters($parameters)
        return $rsa
    }
    catch { Fail 2 'usage' "$File is no RSA public key: $($_.Exception.Message)" }
}

function Test-Manifest {
    try {
        $signature = [Convert]::FromBase64String([IO.File]::ReadAllText($script:signature).Trim())
        $valid = $script:publicKey.VerifyData($script:manifest, 'SHA256', $signature)
    }
    catch { $valid = $false }
    if (-not $valid) { Fail 4 'manifest-forged' "the list of files is not signed by whom $Key names" }
}

# Headers and files of the list, which is signed by now.
function Read-Manifest {
    $lines = [Text.Encoding]::UTF8.GetString($script:manifest).Split("`n")
    if ($lines[0] -cne 'openrms-manifest 1') { Fail 4 'manifest-malformed' 'the list of files is of another kind' }
    $read = @{ Files = @{} }
    $at = 1
    for (; $at -lt $lines.Length -and $lines[$at] -ne ''; $at++) {
        if ($lines[$at] -cnotmatch '^([a-z]+): (\S+)$') { Fail 4 'manifest-malformed' "line $($at + 1)" }
        $read[$Matches[1]] = $Matches[2]
    }
    for ($at++; $at -lt $lines.Length; $at++) {
        if ($lines[$at] -eq '') { continue }
        if ($lines[$at] -cnotmatch '^([0-9a-f]{64})  ([A-Za-z0-9._+~/-]+)$' -or $Matches[2] -match '(^|/)\.\.(/|$)|^/') {
            Fail 4 'manifest-malformed' "line $($at + 1)"
        }
        $read.Files[$Matches[2]] = $Matches[1]
    }
    foreach ($name in 'version', 'serial', 'expires') {
        if (-not $read.ContainsKey($name)) { Fail 4 'manifest-malformed' "it has no $name" }
    }
    if ($read.serial -notmatch '^\d{1,18}$' -or $read.expires -notmatch '^\d{1,18}$' -or $read.version -notmatch '^\d+\.\d+\.\d+') {
        Fail 4 'manifest-malformed' 'a number is none'
    }
    return $read
}

function Get-Value([string]$Name, [string]$Value) {
    $found = $script:machine.OpenSubKey("SOFTWARE\OpenRMS Packages\$Name")
    if ($null -eq $found) { return $null }
    try { return $found.GetValue($Value) } finally { $found.Close() }
}

function Install-Package([string]$Name, [string]$File, [string[]]$Told) {
    $wanted = [version]($list.version -replace '-.*', '')
    $installed = Get-Value $Name 'Version'
    if ($installed) {
        if ([version]$installed -eq $wanted) { Say "$Name $installed is current" | Write-Host; return }
        if ([version]$installed -gt $wanted) {
            Fail 4 'older-version' "$Name $installed is installed, and the channel offers $wanted"
        }
    }
    if (-not $list.Files.ContainsKey($File)) { Fail 4 'file-missing' "$File is not in the list" }
    Say "step: fetch $File" | Write-Host
    $path = Get-ChannelFile $File
    Say "step: verify $File" | Write-Host
    Test-Manifest
    # From here on nobody can change what is about to be run.
    $held = [IO.File]::Open($path, 'Open', 'Read', 'Read')
    try {
        $sha256 = [Security.Cryptography.SHA256]::Create()
        $hash = [BitConverter]::ToString($sha256.ComputeHash($held)).Replace('-', '').ToLowerInvariant()
        if ($hash -cne $list.Files[$File]) { Fail 4 'file-altered' "$File is not the file that was signed" }
        Say "step: install $Name $wanted" | Write-Host
        $words = @('/i', "`"$path`"", '/qn', 'REBOOT=ReallySuppress', '/norestart') + $Told
        $msiexec = Join-Path $env:SystemRoot 'System32\msiexec.exe'
        $code = (Start-Process -FilePath $msiexec -ArgumentList $words -Wait -PassThru).ExitCode
    }
    finally { $held.Close() }
    if ($code -eq 3010 -or $code -eq 1641) { $script:outcome = 3010 }
    elseif ($code -ne 0) { Fail 1 'install-failed' "$Name could not be installed: the Windows Installer says $code" }
    if ([version](Get-Value $Name 'Version') -ne $wanted) {
        Fail 4 'package-mismatch' "$File is of another version than $wanted"
    }
    Say "$Name $wanted is installed" | Write-Host
}

$outcome = 0
$work = Join-Path ([IO.Path]::GetTempPath()) ('openrms-' + [Guid]::NewGuid().ToString('N'))
[void][IO.Directory]::CreateDirectory($work)
[Net.ServicePointManager]::SecurityProtocol = [Net.ServicePointManager]::SecurityProtocol -bor [Net.SecurityProtocolType]::Tls12
$identity = New-Object Security.Principal.WindowsPrincipal ([Security.Principal.WindowsIdentity]::GetCurrent())
if (-not $identity.IsInRole([Security.Principal.WindowsBuiltInRole]::Administrator)) {
    Fail 2 'usage' 'packages are installed by administrators'
}
foreach ($property in $Properties) {
    if ($property -cnotmatch '^[A-Z]+=[^"]*$' -or $property -match '^(REBOOT|TRANSFORMS|PATCH)=') {
        Fail 2 'usage' "$property is no setting of the package"
    }
}
$told = @($Properties | ForEach-Object { $name, $value = $_ -split '=', 2; "$name=`"$value`"" })
$machine = [Microsoft.Win32.RegistryKey]::OpenBaseKey('LocalMachine', 'Registry64')
$publicKey = Read-PublicKey $Key

Say "step: fetch the list of files from $Channel" | Write-Host
$manifest = [IO.File]::ReadAllBytes((Get-ChannelFile 'openrms.manifest'))
$signature = Get-ChannelFile 'openrms.manifest.sig'
Test-Manifest
$list = Read-Manifest
if ([DateTimeOffset]::UtcNow.ToUnixTimeSeconds() -ge [long]$list.expires) {
    Fail 4 'manifest-expired' 'the list of files is not renewed any more: somebody may hold back newer ones'
}
$seen = Get-Value 'Install' 'Serial'
if ($seen -and [long]$list.serial -lt [long]$seen) {
    Fail 4 'manifest-replayed' "the list of files is older than the one seen last ($($list.serial), $seen)"
}

Install-Package 'Client' "windows/OpenRMS-Client-$($list.version)-x64.msi" $told
Install-Package 'BackCompat' "windows/OpenRMS-BackCompat-$($list.version)-x64.msi" @()

# Older lists of files are refused from now on.
$memory = $machine.CreateSubKey('SOFTWARE\OpenRMS Packages\Install')
$memory.SetValue('Serial', $list.serial)
$memory.Close()
Remove-Item -LiteralPath $work -Recurse -Force -ErrorAction SilentlyContinue
exit $outcome
